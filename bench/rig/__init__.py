"""Puts broker and programs side by side, and measures them."""
