package session_test

import "testing"

// How much of what an ideal client would read from the prompt cache is read, in percent.
// Counts are measured, not time: ns/op is that of a whole conversation.
func BenchmarkCacheReads(b *testing.B) {
	b.Run("growing", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(100*share(grow(openReal(b))), "%ideal")
		}
	})
	b.Run("edited", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(100*share(edit(openReal(b))), "%ideal")
		}
	})
	b.Run("moved", func(b *testing.B) {
		for b.Loop() {
			reads, moved := move(openReal(b))
			b.ReportMetric(100*share(reads[moved:moved+1]), "%ideal-of-the-move")
			b.ReportMetric(100*share(reads[moved+1:]), "%ideal")
		}
	})
}
