-- Which of some devices are registered.
SELECT {id} FROM {registry} WHERE {id} = ANY (%b::text[])
