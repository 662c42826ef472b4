"""What is true: records, arithmetic, torch. Imports nothing of ours."""
