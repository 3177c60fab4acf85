-- Which shelves of vectors a caller may read becomes a condition of the index, as an array does and a subquery does not:
-- it is no longer looked up for each of the vectors that are compared.
ALTER POLICY readable ON fiel.vectors USING (shelf = ANY (ARRAY(SELECT id FROM fiel.shelves)));
