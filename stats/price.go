package stats

import "math"

// Price is what a million tokens of a model cost, in US dollars.
type Price struct{ Input, Output, CacheRead, CacheWrite float64 }

// Prices is the price table, by the names that clients ask with. A model that is not
// in it costs nothing.
type Prices map[string]Price

// Of estimates what tokens of a model cost. Prices may change; what is kept are tokens,
// so a cost is always of the table as it is now.
func (p Prices) Of(model string, input, output, cacheRead, cacheWrite int64) float64 {
	at := p[model]
	return (at.Input*float64(input) + at.Output*float64(output) + at.CacheRead*float64(cacheRead) + at.CacheWrite*float64(cacheWrite)) / 1e6
}

// Dollars rounds a cost to the millionth, which is a token of a model that costs a
// dollar for a million.
func Dollars(cost float64) float64 { return math.Round(cost*1e6) / 1e6 }
