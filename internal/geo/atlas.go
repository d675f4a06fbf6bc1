package geo

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// checkEvery is how often files are looked at for whether they changed, at the most.
const checkEvery = time.Minute

// maxListFile is how large a text list of anonymisers may be, in bytes.
const maxListFile = 128 << 20

// AtlasOptions are the operator's own files, each of which may be missing.
type AtlasOptions struct {
	CityFile string // MaxMind's format, laid out as GeoIP2 City, Enterprise or Country
	ASFile   string // MaxMind's format, laid out as GeoLite2 ASN, GeoIP2 ISP or Enterprise
	// AnonymiserFile is a text list (README.md says how it is written), or a file in MaxMind's
	// format, laid out as GeoIP2 Anonymous IP or Anonymous Plus.
	AnonymiserFile string
	// WithoutTables leaves the tables of the program alone, which take some 50 MB: what no
	// file tells is then not known.
	WithoutTables bool

	Now    func() time.Time // default: time.Now
	Logger *slog.Logger     // default: slog.Default()
}

// Atlas tells all that this program knows of where an address is, out of the operator's
// files and the tables of the program. It is safe for concurrent use.
//
// A file of the operator's wins over the program's table of that kind, and wins whole:
// where the operator's file does not know an address, nothing is known of it. The two are
// never mixed, as they disagree about many networks, and a person at home would seem
// to travel from the one's opinion to the other's.
//
// Files that change are taken up anew within about a minute, if anything is asked. A new
// file that is broken is logged, and the one before stays in force.
type Atlas struct {
	now    func() time.Time
	logger *slog.Logger
	tables bool // those of the program count where there is no file

	city     *watched[*database]
	as       *watched[*database]
	hidden   *watched[*anonymisers]
	checks   []func() // of those that there are
	checked  atomic.Int64
	mu       sync.Mutex // of closed, and against checks after it
	closed   bool
	checking sync.WaitGroup
}

// anonymisers is one of the two.
type anonymisers struct {
	list     *list
	modified time.Time
	database *database
}

// OpenAtlas opens the files. One that cannot be read, or is not what it should be, is an
// error here, which names the file. What is in a file is checked whole, which takes
// about a second for 100 MB.
func OpenAtlas(o AtlasOptions) (*Atlas, error) {
	a := &Atlas{now: o.Now, logger: o.Logger, tables: !o.WithoutTables}
	if a.now == nil {
		a.now = time.Now
	}
	if a.logger == nil {
		a.logger = slog.Default()
	}
	a.checked.Store(a.now().UnixNano())
	var err error
	if a.city, err = watch(a, o.CityFile, maxDatabase, func(b []byte, _ time.Time) (*database, error) {
		return openDatabase(b, "places", func(r maxminddb.Result) (bool, error) { _, ok, err := readPlace(r); return ok, err })
	}); err != nil {
		return nil, err
	}
	if a.as, err = watch(a, o.ASFile, maxDatabase, func(b []byte, _ time.Time) (*database, error) {
		return openDatabase(b, "AS numbers", func(r maxminddb.Result) (bool, error) { _, ok, err := readAS(r); return ok, err })
	}); err != nil {
		return nil, err
	}
	if a.hidden, err = watch(a, o.AnonymiserFile, maxDatabase, func(b []byte, modified time.Time) (*anonymisers, error) {
		if isDatabase(b) {
			d, err := openDatabase(b, "anonymisers", func(r maxminddb.Result) (bool, error) { label, err := readAnonymous(r); return label != "", err })
			return &anonymisers{database: d}, err
		}
		if len(b) > maxListFile {
			return nil, fmt.Errorf("the list is larger than %d MiB", maxListFile>>20)
		}
		l, err := readList(b)
		return &anonymisers{list: l, modified: modified}, err
	}); err != nil {
		return nil, err
	}
	return a, nil
}

// Location is what an Atlas knows of an address.
type Location struct {
	Public bool // the address can have a place; nothing is known of one that cannot

	Place    Place
	HasPlace bool

	ASN    uint32 // as AS.Number
	ASName string // as AS.Name
	HasAS  bool

	Anonymiser string // what the operator's list calls the network; empty if it is not on it
	Listed     bool   // there is such a list, and the address was looked up in it
}

// Locate tells what is known of an address. Addresses of which Table.Lookup knows no
// place, as private ones, are nowhere and of no network; one of IPv4 in one of IPv6 is
// taken out first.
func (a *Atlas) Locate(addr netip.Addr) Location {
	a.look()
	addr, ok := public(addr)
	if !ok {
		return Location{}
	}
	l := Location{Public: true}
	if a.city != nil {
		if r, found := a.city.get().result(addr); found {
			if p, ok, err := readPlace(r); ok && err == nil {
				l.Place, l.HasPlace = p, true
			}
		}
	} else if a.tables {
		l.Place, l.HasPlace = embedded().lookup(addr)
	}
	var as AS
	if a.as != nil {
		if r, found := a.as.get().result(addr); found {
			if n, ok, err := readAS(r); ok && err == nil {
				as, l.HasAS = n, true
			}
		}
	} else if a.tables {
		as, l.HasAS = embeddedNetworks().lookup(addr)
	}
	l.ASN, l.ASName = as.Number, as.Name
	if a.hidden != nil {
		l.Anonymiser, l.Listed = a.hidden.get().find(addr)
	}
	return l
}

// find is false if the list is not about such addresses, or cannot be read there.
func (h *anonymisers) find(a netip.Addr) (label string, listed bool) {
	if h.list != nil {
		return h.list.find(a), true
	}
	if a.Is6() && h.database.Metadata.IPVersion == 4 {
		return "", false
	}
	r, found := h.database.result(a)
	if !found {
		return "", r.Err() == nil // such files only have what is held against a network
	}
	label, err := readAnonymous(r)
	return label, err == nil
}

// Warm reads the tables of the program that this atlas needs, so that no lookup has to
// wait for it: about half a second of one core.
func (a *Atlas) Warm() {
	if a.city == nil && a.tables {
		embedded()
	}
	if a.as == nil && a.tables {
		embeddedNetworks()
	}
}

// Where the data of a source comes from.
const (
	FromOperator = "operator"
	FromProgram  = "embedded"
)

// What a source is about.
const (
	AboutPlaces      = "places"
	AboutNetworks    = "networks"
	AboutAnonymisers = "anonymisers"
)

// Source is whom something that an Atlas tells is from. Its attribution must stand, as a
// link to URL if there is one, on every page that shows such things.
type Source struct {
	What        string    `json:"what"`   // AboutPlaces, ...
	Origin      string    `json:"origin"` // FromOperator or FromProgram
	Date        time.Time `json:"date"`   // the day, in UTC, of the data
	Attribution string    `json:"attribution,omitempty"`
	URL         string    `json:"url,omitempty"`
}

// Sources are those that are in force. One thing may have several, which must all be named.
func (a *Atlas) Sources() []Source {
	a.look()
	var out []Source
	add := func(what, origin string, date time.Time, credits ...Credit) {
		for _, c := range credits {
			out = append(out, Source{what, origin, date, c.Text, c.URL})
		}
	}
	if a.city != nil {
		d := a.city.get()
		add(AboutPlaces, FromOperator, d.date(), d.credit())
	} else if a.tables {
		t := embedded()
		add(AboutPlaces, FromProgram, t.Date(), Credit{t.Attribution(), t.AttributionURL()})
	}
	if a.as != nil {
		d := a.as.get()
		add(AboutNetworks, FromOperator, d.date(), d.credit())
	} else if a.tables {
		n := embeddedNetworks()
		add(AboutNetworks, FromProgram, n.Date(), n.Credits()...)
	}
	if a.hidden != nil {
		if h := a.hidden.get(); h.database != nil {
			add(AboutAnonymisers, FromOperator, h.database.date(), h.database.credit())
		} else {
			add(AboutAnonymisers, FromOperator, h.modified.UTC().Truncate(24*time.Hour), Credit{Text: "a list of the operator's"})
		}
	}
	return out
}

// Close ends the watching of files, and waits for what is being read. Lookups go on as
// things are.
func (a *Atlas) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.checking.Wait()
}

// look has the files looked at, beside the caller, if that was not done for a while.
func (a *Atlas) look() {
	if len(a.checks) == 0 {
		return
	}
	then, now := a.checked.Load(), a.now().UnixNano()
	// A clock that was set back must not stop the watching.
	if since := now - then; since >= 0 && since < int64(checkEvery) || !a.checked.CompareAndSwap(then, now) {
		return
	}
	// Not even a lock is waited for: a check that is still going on is check enough.
	if !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.checking.Go(func() {
		for _, check := range a.checks {
			check()
		}
	})
}

// watched is a file, and what was last read of it.
type watched[T any] struct {
	path   string
	most   int64
	read   func(b []byte, modified time.Time) (T, error)
	logger *slog.Logger
	value  atomic.Pointer[T]

	mu   sync.Mutex  // of what follows: checks may overtake one another
	seen fs.FileInfo // when it was last read, well or not; nil if it could not be found
}

// watch reads a file and has it watched. No path: nil.
func watch[T any](a *Atlas, path string, most int64, read func([]byte, time.Time) (T, error)) (*watched[T], error) {
	if path == "" {
		return nil, nil
	}
	w := &watched[T]{path: path, most: most, read: read, logger: a.logger}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("geo: %w", err)
	}
	if err := w.load(info); err != nil {
		return nil, fmt.Errorf("geo: %s: %w", path, err)
	}
	a.checks = append(a.checks, w.check)
	return w, nil
}

func (w *watched[T]) get() T { return *w.value.Load() }

// load reads the file. info was taken before: what is written meanwhile makes a
// difference to it that the next check sees.
func (w *watched[T]) load(info fs.FileInfo) error {
	b, err := readFile(w.path, w.most)
	if err != nil {
		return err // and it is tried again next time
	}
	w.seen = info
	v, err := w.read(b, info.ModTime())
	if err != nil {
		return err
	}
	w.value.Store(&v)
	return nil
}

// check reads the file if it is another than before. Nothing is said twice of the same
// file.
func (w *watched[T]) check() {
	if !w.mu.TryLock() {
		return // it is being read
	}
	defer w.mu.Unlock()
	info, err := os.Stat(w.path)
	if err != nil {
		if w.seen != nil {
			w.logger.Error("geo: a file is gone; what it said stays in force", "file", w.path, "error", err)
		}
		w.seen = nil
		return
	}
	if s := w.seen; s != nil && os.SameFile(s, info) && s.ModTime().Equal(info.ModTime()) && s.Size() == info.Size() {
		return
	}
	if err := w.load(info); err != nil {
		w.logger.Error("geo: a new file cannot be used; what the one before said stays in force", "file", w.path, "error", err)
		return
	}
	w.logger.Info("geo: a new file is in force", "file", w.path)
}
