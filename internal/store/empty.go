package store

import "context"

// Empty reports whether nothing was ever kept here that is sealed under the
// master key: only then may that key be made anew. Whatever else is sealed belongs to a
// subject.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	empty := true
	err := s.db.read(ctx, func(t *tx) error {
		empty = true
		return t.query(func(row) error { empty = false; return nil },
			`SELECT 1 FROM subjects UNION ALL SELECT 1 FROM secrets
			UNION ALL SELECT 1 FROM federation_keys UNION ALL SELECT 1 FROM federation_pushed LIMIT 1`)
	})
	return empty, err
}
