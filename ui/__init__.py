"""What the dashboard's pages share. Imports `core` and Streamlit; is imported by `pages`."""
