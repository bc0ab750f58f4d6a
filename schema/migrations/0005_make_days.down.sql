-- Replicas of before make days themselves, so they must connect as the owner of the tables. Nothing is lost.

DROP FUNCTION IF EXISTS make_day(regclass, date);
