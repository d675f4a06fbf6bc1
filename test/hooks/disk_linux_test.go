package hooks_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// full is a way to have a bridge run out of disk space. begin takes the space away, and
// end gives it back, both while the bridge runs.
type full struct {
	folder     string // for the store
	begin, end func(b *bridge)
}

// limited fills the disk by RLIMIT_FSIZE of the running process: a write beyond the limit
// fails with EFBIG (Go ignores SIGXFSZ). It needs no rights. What SQLite appends to the
// log of its writes lies beyond a limit that is as large as what is there.
func limited(t *testing.T) full {
	dir := t.TempDir()
	return full{dir, func(b *bridge) {
		most := uint64(0)
		files, err := filepath.Glob(filepath.Join(dir, "db*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no store: %v", err)
		}
		for _, f := range files {
			s, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, uint64(s.Size()))
		}
		// Not the hard limit, which nobody can raise again.
		limit(t, b, syscall.Rlimit{Cur: most, Max: unlimited})
	}, func(b *bridge) {
		limit(t, b, syscall.Rlimit{Cur: unlimited, Max: unlimited})
	}}
}

const unlimited = ^uint64(0) // RLIM_INFINITY

// limit is prlimit(2) of RLIMIT_FSIZE.
func limit(t *testing.T, b *bridge, l syscall.Rlimit) {
	t.Helper()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(b.pid()), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&l)), 0, 0, 0); errno != 0 {
		t.Fatalf("prlimit: %v", errno)
	}
}

// small is a tmpfs of 16 MB, filled by a file beside the store: real ENOSPC. It takes the
// right to mount, which root has not in every container.
func small(t *testing.T) full {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=16m,mode=0700"); err != nil {
		t.Skipf("no file system can be mounted here (%v); the other way is tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	return full{dir, func(*bridge) {
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		page := make([]byte, 4096)
		for err == nil {
			_, err = f.Write(page)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}, func(*bridge) {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}}
}

// A full disk: events are refused, each with 503 and Retry-After, and none is answered
// with 200 that is not stored. The log says why. Once there is space again all goes on
// without anybody's help, and what is told again is taken once.
func TestDiskIsFull(t *testing.T) {
	for name, disk := range map[string]func(*testing.T) full{"a limit on files": limited, "a small file system": small} {
		t.Run(name, func(t *testing.T) {
			d := disk(t)
			l := listen(t)
			b := newBridge(t, t.TempDir(), "sqlite:"+filepath.Join(d.folder, "db"), map[string]string{tenant: ""})
			b.publish(tenant, notice("LoginFailed"))
			b.endpoint(tenant, l.url)
			const each = 10
			told := 0
			for range 10 {
				b.accepted(tenant, batch("LoginFailed", told, each))
				told += each
			}

			d.begin(b)
			var refused []int // where batches begin
			for tries := 0; len(refused) < 20; tries++ {
				if tries > 20_000 {
					t.Fatal("the disk does not become full")
				}
				switch a := b.tell(t.Context(), tenant, batch("LoginFailed", told, each)); {
				case a.status == http.StatusOK: // there was some space left
					if len(refused) > 0 {
						tries = 0
					}
				default:
					if err := refusedProperly(a); err != nil {
						t.Fatal(err)
					}
					refused = append(refused, told)
				}
				told += each
			}
			t.Logf("%d events were told, %d of them refused", told, len(refused)*each)
			until(t, "the log says why", func() bool {
				log := b.Log()
				return strings.Contains(log, "disk is full") || strings.Contains(log, "disk I/O error")
			})
			if !b.Running() {
				t.Fatal("the bridge ended")
			}
			ready := func(status int) func() bool {
				return func() bool { return b.get("/readyz").status == status }
			}
			until(t, "/readyz says so", ready(http.StatusServiceUnavailable))

			d.end(b)
			until(t, "/readyz says that there is space", ready(http.StatusOK))
			for _, from := range refused {
				body := batch("LoginFailed", from, each)
				until(t, "events are taken again", func() bool { return b.tell(t.Context(), tenant, body).status == http.StatusOK })
				b.accepted(tenant, body) // and once more
			}
			until(t, "all is done", func() bool { return l.people() >= told && b.waiting(tenant) == 0 })
			if n := b.number("SELECT COUNT(*) FROM hooks_events WHERE state = '" + string(hooks.EventDone) + "'"); n != told {
				t.Errorf("%d events are stored, %d were accepted", n, told)
			}
			l.once(t, 0, told)
		})
	}
}

// pid is the process of the bridge, found by its configuration.
func (b *bridge) pid() int {
	b.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(line), "\x00serve\x00--config\x00"+b.config+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			b.t.Fatal(err)
		}
		return pid
	}
	b.t.Fatal("the bridge has no process")
	return 0
}
