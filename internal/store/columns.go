package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// micros is how a time is stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// blob is how bytes are stored; none are NULL.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// at scans a stored time.
func at(t *time.Time) *timeColumn { return (*timeColumn)(t) }

type timeColumn time.Time

func (c *timeColumn) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", src)
	}
	*c = timeColumn{}
	if n != 0 {
		*c = timeColumn(time.UnixMicro(n).UTC())
	}
	return nil
}

// asJSON is how small lists and maps are stored; none are "".
func asJSON[T any](v T, n int) (string, error) {
	if n == 0 {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// fromJSON scans what asJSON made.
func fromJSON(dest any) *jsonColumn { return &jsonColumn{dest} }

type jsonColumn struct{ dest any }

func (c *jsonColumn) Scan(src any) error {
	var b []byte
	switch s := src.(type) {
	case string:
		b = []byte(s)
	case []byte:
		b = s
	default:
		return fmt.Errorf("JSON is stored as %T", src)
	}
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, c.dest)
}

// statements writes out the two long statements over the columns of a table, the
// first three of which are tenant, id and version.
func statements(table, columns string) (insert, update string) {
	var marks, sets []string
	for i, name := range strings.Split(columns, ",") {
		name, mark := strings.TrimSpace(name), "$"+strconv.Itoa(i+1)
		marks = append(marks, mark)
		if i >= 3 {
			sets = append(sets, name+" = "+mark)
		}
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT DO NOTHING",
		"UPDATE " + table + " SET version = version + 1, " + strings.Join(sets, ", ") + " WHERE tenant = $1 AND id = $2 AND version = $3"
}
