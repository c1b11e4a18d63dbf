"""The parts of Vitascope that need no dashboard: model, data, training, maps and measures."""
