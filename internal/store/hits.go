package store

import (
	"errors"
	"time"
)

// minute is how the minute that t is in is stored: as its beginning.
func minute(t time.Time) int64 { return micros(t.Truncate(time.Minute)) }

// errNoKey: without a key all the world would share one limit, or none.
var errNoKey = errors.New("store: a hit without a key")

func (t *tx) Hit(tenant, limit string, key []byte, when time.Time) error {
	if len(key) == 0 {
		return errNoKey
	}
	return t.later(`INSERT INTO hits (tenant, limit_name, key_hash, minute, part, count) VALUES ($1, $2, $3, $4, `+t.dialect.part+`, 1)
		ON CONFLICT (tenant, limit_name, key_hash, minute, part) DO UPDATE SET count = hits.count + 1`, tenant, limit, key, minute(when))
}

func (t *tx) Hits(tenant, limit string, key []byte, since time.Time) (int, error) {
	if len(key) == 0 {
		return 0, errNoKey
	}
	n, err := one(t, scanCount, `SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM hits
		WHERE tenant = $1 AND limit_name = $2 AND key_hash = $3 AND minute >= $4`, tenant, limit, key, minute(since))
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// PurgeHits returns how many rows it dropped: one for every key, minute and part.
func (t *tx) PurgeHits(tenant string, before time.Time) (int, error) {
	return t.exec(`DELETE FROM hits WHERE tenant = $1 AND minute < $2`, tenant, minute(before))
}

func scanCount(r row) (*int, error) {
	n := new(int)
	return n, r.Scan(n)
}
