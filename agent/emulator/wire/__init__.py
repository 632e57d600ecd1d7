"""The Live API's JSON: `incoming` from the client, read by `parse`; `outgoing` to it. Pure."""
