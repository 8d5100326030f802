"""The browser port (driver) and what stands behind it; the only place that imports pyppeteer."""
