-- Whether the tokens of an attempt, and so its cost, are Longshore's own count: its provider reported none.
ALTER TABLE attempts ADD COLUMN usage_estimated boolean NOT NULL DEFAULT false;
