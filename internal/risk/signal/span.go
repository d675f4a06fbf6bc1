package signal

import "fmt"

// span says a time in words.
func span(hours float64) string {
	switch {
	case hours < 1.0/60:
		return "less than a minute"
	case hours < 1.5/60:
		return "1 minute"
	case hours < 2:
		return fmt.Sprintf("%.0f minutes", hours*60)
	case hours < 48:
		return fmt.Sprintf("%.0f hours", hours)
	}
	return fmt.Sprintf("%.0f days", hours/24)
}
