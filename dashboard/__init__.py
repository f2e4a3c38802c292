"""The browser application; it will show what `simulator/figures` draws."""
