"""What is asked, and what a plan is: a file that a person may read and edit."""
