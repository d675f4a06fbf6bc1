package auditing

import "time"

// What nobody outside Descope has written down (reference/descope.md 6.2: "ordering and
// retry semantics undocumented"). One look at a live project corrects it here.
const (
	// maxBatch is what one receiver saw in a request at most.
	maxBatch = 100
	// defaultDelay is how long an event waits for others to come along with it.
	defaultDelay = 250 * time.Millisecond
	// timeout is how long an answer may take.
	timeout = 10 * time.Second
	// maxWaiting events are kept for a webhook; the oldest are lost then.
	maxWaiting = 50_000
)

// tries are the waits before a batch that was answered by anything but a 2xx, or by
// nothing, is sent again. Then it is lost.
func tries() []time.Duration { return []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} }

// Also decided here, in code elsewhere: that all filters must hold; that an event of no
// Descope tenant is included by no filter of tenants, and excluded by none; that there
// is neither type nor id in the payload, which one receiver mentions and the others do
// not; that a filter of a key that is not known is refused when the project is read.
