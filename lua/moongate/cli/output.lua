-- SPDX-License-Identifier: MIT
--
-- The one way by which a command's text for people reaches the terminal. Names of files, unknown keys, what a client or
-- a route file said: it all may have been chosen by somebody else, and none of it moves the cursor or colours a line.
-- What must not begin a line either goes through `printable` of moongate.unicode where the line is made.

local unicode = require("moongate.unicode")

local output = {}

---Text in lines, on standard output.
---@param ... string|number
function output.write(...)
  io.stdout:write(unicode.printable_lines(table.concat({ ... })))
end

---The same on standard error.
---@param ... string|number
function output.warn(...)
  io.stderr:write(unicode.printable_lines(table.concat({ ... })))
end

---"moongate: …" on standard error: one line, whatever stands in it.
---@param ... string|number
function output.complain(...)
  io.stderr:write("moongate: ", unicode.printable(table.concat({ ... })), "\n")
end

---An answer of the API as it came: JSON escapes what a terminal would obey.
---@param raw string
function output.raw(raw)
  io.stdout:write((raw:gsub("\n*$", "\n", 1)))
end

return output
