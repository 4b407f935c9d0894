package oauth

import "time"

// NumericDate is a point in time as a JWT tells it: in seconds since 1970 (RFC 7519
// section 2).
type NumericDate float64

// Time returns the moment, to the second. Beyond the year 9999 all are alike.
func (d NumericDate) Time() time.Time {
	const year9999 = 253402300799
	return time.Unix(int64(max(-year9999, min(float64(d), year9999))), 0)
}
