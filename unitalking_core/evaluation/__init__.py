"""How well a checkpoint talks: measured by instruments nobody here wrote, beside a ceiling and a floor, and shown on a page."""
