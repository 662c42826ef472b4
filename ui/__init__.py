"""What a person drives: pages, command line, worker. Joins the store and the engine; no page ever loads torch."""
