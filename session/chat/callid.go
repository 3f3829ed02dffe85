package chat

import "strconv"

// distinctCalls gives every call of a conversation an id of its own, as the Messages
// API wants it: clients that number the calls of each answer anew send the same ids
// again and again. The second call of an id gets it with "_2" behind, and so on; the
// results follow their calls. What an id becomes depends on the messages before only.
func distinctCalls(messages []Message) {
	seen := make(map[string]bool)
	for i, m := range messages {
		var renamed map[string]string
		for j, b := range m.Content {
			if b.Type != BlockToolUse {
				continue
			}
			id := b.ID
			for n := 2; seen[id]; n++ {
				id = b.ID + "_" + strconv.Itoa(n)
			}
			seen[id] = true
			if id == b.ID {
				continue
			}
			if renamed == nil {
				renamed = make(map[string]string)
			}
			renamed[b.ID], m.Content[j].ID = id, id
		}
		if renamed != nil && i+1 < len(messages) {
			renameResults(messages[i+1].Content, renamed)
		}
	}
}

func renameResults(content []Block, renamed map[string]string) {
	for i, b := range content {
		if id, ok := renamed[b.ToolUseID]; ok && b.Type == BlockToolResult {
			content[i].ToolUseID = id
		}
	}
}
