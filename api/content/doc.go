// Package content reads what conversations are made of: pictures, documents and earlier calls of tools, within the bounds of one request.
package content
