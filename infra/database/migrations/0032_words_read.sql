-- As 0030 did for vectors: which shelves of words and counts a caller may read becomes a condition of the index, and is no
-- longer looked up for each posting that a search counts. Takes no time on a filled database: no row is touched.
ALTER POLICY readable ON fiel.postings USING (shelf = ANY (ARRAY(SELECT id FROM fiel.shelves)));
ALTER POLICY readable ON fiel.shelf_counts USING (shelf = ANY (ARRAY(SELECT id FROM fiel.shelves)));
