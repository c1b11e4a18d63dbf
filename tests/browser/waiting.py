"""Waiting for states, never for clocks."""

import os

from playwright.sync_api import Page, expect

# seconds; a busy machine is slow, not broken
PATIENCE = int(os.environ.get("VITASCOPE_PATIENCE", "60"))
expect.set_options(timeout=PATIENCE * 1000)


def settled(page: Page) -> None:
    """Wait until the script has run, drawn a title, and every element has got its code."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
