package anthropictest

// Usage is the token counts of one answer.
type Usage struct {
	InputTokens              int           `json:"input_tokens"`
	CacheCreationInputTokens int           `json:"cache_creation_input_tokens"`
	CacheReadInputTokens     int           `json:"cache_read_input_tokens"`
	CacheCreation            CacheCreation `json:"cache_creation"`
	OutputTokens             int           `json:"output_tokens"`
	ServiceTier              string        `json:"service_tier"`
}

// CacheCreation splits what was written to the cache by time to live.
type CacheCreation struct {
	Ephemeral5m int `json:"ephemeral_5m_input_tokens"`
	Ephemeral1h int `json:"ephemeral_1h_input_tokens"`
}

func (u Usage) with(output int) Usage {
	if u.OutputTokens == 0 {
		u.OutputTokens = output
	}
	return u
}

const bytesPerToken = 4

// estimate is the number of tokens of a prompt.
func estimate(body Body) int {
	places := chain("", body)
	return places[len(places)-1].tokens()
}
