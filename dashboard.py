"""Vitascope's entry:  streamlit run dashboard.py -- --data PATH --checkpoints PATH"""

from ui import shell

shell.start()
