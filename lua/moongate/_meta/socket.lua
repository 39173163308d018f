---@meta
-- SPDX-License-Identifier: MIT
--
-- The socket of a handler, and of moongate.connect. Names, patterns and results are LuaSocket's; every call that
-- waits lets the others on its worker run meanwhile.

--- What failed: "timeout" (the socket's, see settimeout), "closed" (ended, reset, or closed by us), "line too long"
--- (over 64 KiB), "too much data" ("*a" with more than a quarter of limits.script_memory), "out of memory". With TLS:
--- "truncated" (ended without close_notify), "protocol error". "PROXY header refused": one from a stranger.
---@alias moongate.SocketError "timeout"|"closed"|"line too long"|"too much data"|"out of memory"|"truncated"|"protocol error"|"PROXY header refused"|string

--- Options of a server (a handler's client): certificate, client_ca, alpn, min_version. Of a client: certificate,
--- verify, ca, server_name, alpn, min_version.
---@class moongate.TlsOptions
---@field certificate? { cert: string, key: string } paths or PEM; a server without it signs one itself
---@field client_ca? string path or PEM: the client must have a certificate that this one has signed
---@field verify? boolean default true
---@field ca? string path or PEM, default the system's
---@field server_name? string default the host that connect was given
---@field alpn? string|string[]
---@field min_version? "1.2"|"1.3"

---@class moongate.TlsAgreement
---@field version string "TLSv1.3"
---@field cipher string
---@field alpn? string
---@field server_name? string what the client asked for
---@field peer? string the subject of the peer's certificate

--- One task may read and another write at the same time; a second reader or writer raises "busy". A socket belongs to
--- the handler (or other function of a route) that was given it or has connected it, and to what that spawns: it is
--- closed when that ends, after all that was sent has gone out. In another connection's handler it raises.
---@class moongate.Socket
local Socket = {}

--- Reads. A number: exactly so many bytes. "*l" (the default): a line, up to LF, which is not returned; nor is any CR
--- in it. "*a": all until the end. The prefix is put in front of the result; a number counts it. What was there when
--- it failed is the third result, and is taken from the socket.
---@param pattern? integer|"*l"|"*a"
---@param prefix? string
---@return string? data
---@return moongate.SocketError? err
---@return string? partial
function Socket:receive(pattern, prefix) end

--- Reads what is there, at least one byte, waiting for it if need be.
---@param max? integer bytes, default 65536
---@return string? data
---@return moongate.SocketError? err
function Socket:receiveany(max) end

--- A function that reads up to the next `text`, which is taken too: all before it, or pieces of at most so many bytes,
--- with nil once behind the last one. At the end of the socket: nil, "closed" and what there was.
---@param text string 1 to 4096 bytes
---@param options? { inclusive?: boolean } inclusive: the text is part of the answer
---@return fun(size?: integer): string?, moongate.SocketError?, string?
function Socket:receiveuntil(text, options) end

--- Waits until n bytes are there, and returns them without taking them; fewer when the peer has ended. At a timeout
--- the third result has what there is, which is not taken either.
---@param n? integer bytes, 1 to 1048576, default 1
---@return string? data
---@return moongate.SocketError? err
---@return string? partial
function Socket:peek(n) end

--- `for line in socket:lines() do`: until the end, an error or a timeout. What stands behind the last line end is a
--- line as well.
---@return fun(): string?, moongate.SocketError?, string?
function Socket:lines() end

--- Sends all of it, waiting while the peer does not take it. A table's strings and numbers are sent one behind the
--- other, at once.
---@param data string|(string|number)[]
---@param i? integer first byte, default 1; negative: from the end
---@param j? integer last byte, default -1
---@return integer? last index of the last byte sent
---@return moongate.SocketError? err
---@return integer? last_sent index of the last byte sent, when it failed
function Socket:send(data, i, j) end

--- How long each following call may wait: seconds, or "500ms", "90s". 0: not at all. nil or negative: without a limit
--- of its own (the route's idle timeout still holds). Mode "t" (the default): each call as a whole; "b": each step of
--- one, the time in which no byte moves; "send" and "receive": the calls of one direction.
---@param seconds? number|string
---@param mode? "t"|"b"|"send"|"receive"
---@return 1? ok
---@return "closed"? err
function Socket:settimeout(seconds, mode) end

---@return number? step
---@return number? receive
---@return number? send
function Socket:gettimeout() end

---@alias moongate.SocketOption "tcp-nodelay"|"keepalive"|"reuseaddr"|"tcp-keepidle"|"tcp-keepintvl"|"tcp-keepcnt"|"recv-buffer-size"|"send-buffer-size"

---@param name moongate.SocketOption
---@param value boolean|integer
---@return 1? ok
---@return moongate.SocketError? err
function Socket:setoption(name, value) end

---@param name moongate.SocketOption
---@return boolean|integer|nil value
---@return moongate.SocketError? err
function Socket:getoption(name) end

--- Bytes of the wire, and seconds since it began.
---@return number received
---@return number sent
---@return number age
function Socket:getstats() end

--- Puts TLS on the connection and waits for the handshake: as the server on a handler's client, as the client on what
--- connect gave. Errors: "handshake failed", "certificate not trusted", "bad certificate", "timeout", "closed".
---@param options? moongate.TlsOptions
---@return 1? ok
---@return string? err
---@return string? detail OpenSSL's words
function Socket:starttls(options) end

--- What TLS has agreed upon; nil without TLS.
---@return moongate.TlsAgreement?
---@return "closed"? err
function Socket:tls() end

--- Ends a side: the peer reads the end behind all that was sent; nothing is read here any more but what had been read
--- already.
---@param side? "send"|"receive"|"both" default "both"
---@return 1? ok
---@return moongate.SocketError? err
function Socket:shutdown(side) end

--- What was sent goes out, and then it is closed. Every method answers nil, "closed" from now on.
---@return 1? ok
---@return "closed"? err
function Socket:close() end

--- The client's real address, or the peer's. A unix socket has "unix:/path" and no port.
---@return string? ip
---@return integer|string|nil port
---@return "inet"|"inet6"|nil family
function Socket:getpeername() end

---@return string? ip
---@return integer|string|nil port
---@return "inet"|"inet6"|nil family
function Socket:getsockname() end

--- The number of its descriptor, which is the event loop's: of use to tell sockets apart. -1 when it is closed.
---@return integer
function Socket:getfd() end

--- Whether something has been read from the network that the script has not taken yet.
---@return boolean
function Socket:dirty() end

---@class moongate.PipeOptions
---@field one_way? boolean only from this socket to the other, to the end of this one (false)
---@field bytes? integer so many bytes, one way, and not one more is read

--- Joins two sockets natively until both have ended, without Lua in between; what had been read ahead goes first.
--- Both are ended then. When one breaks: nil, err, and the two counts.
---
--- With one_way or bytes only from this one to the other, while the other direction stays the script's; how many bytes
--- the other has taken, or nil, err and that ("closed" when this one ends before all `bytes`). Neither is ended by it,
--- and this one's end is not passed on. What was read and could not be passed on is received next.
---@param other moongate.Socket
---@param options? moongate.PipeOptions
---@return integer? there bytes from this socket to the other
---@return integer|string? back bytes from the other to this one; one way: why it failed
---@return integer? there_at_failure
---@return integer? back_at_failure
function Socket:pipe(other, options) end

return Socket
