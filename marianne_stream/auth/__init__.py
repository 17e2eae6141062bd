"""Who may read what: tokens, the sessions of browsers, and how failed attempts are slowed."""
