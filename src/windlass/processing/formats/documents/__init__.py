"""Office documents, books, PDF and mail: their exact type, facts and text."""
