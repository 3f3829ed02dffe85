package main

import (
	"maxrelay/api/limit"
	"maxrelay/api/upstream"
)

func (t TierConfig) rate() limit.Rate {
	if t.Requests == 0 {
		return limit.Rate{}
	}
	return limit.Rate{Requests: t.Requests, Period: t.Period}
}

func (u UpstreamConfig) upstream() upstream.Upstream {
	return upstream.Upstream{Name: u.Name, URL: u.URL, APIKey: u.APIKey, Timeout: u.Timeout, MaxRetries: u.MaxRetries}
}
