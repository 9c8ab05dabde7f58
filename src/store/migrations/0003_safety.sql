-- What may be brought in for a binary, as far as somebody asked for something.

ALTER TABLE binary ADD COLUMN min_release_age REAL;
ALTER TABLE binary ADD COLUMN postinstall_scripts INTEGER;
