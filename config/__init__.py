"""How wafleet is configured (config.settings) and how it logs (config.logging)."""
