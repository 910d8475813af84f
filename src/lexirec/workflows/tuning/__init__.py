"""Settings searched with equal budgets: what may be tried, trials one by one, and what was found."""
