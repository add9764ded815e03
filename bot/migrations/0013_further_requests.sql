-- How many requests of an attempt are charged.
ALTER TABLE charges ADD COLUMN requests INTEGER NOT NULL DEFAULT 1;
