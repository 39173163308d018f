-- SPDX-License-Identifier: MIT
--
-- print, io.write and the write of io.stdout and io.stderr for user states: as Lua has them, but a worker does not wait
-- for who reads (runtime/bindings/bind_print.c). Files that a script opens itself keep LuaJIT's write.

-- luacheck: ignore 121 122 (it sets the globals up)

local _, core = ...
local write_text = core.write
local error, format, select, type = error, string.format, select, type
local globals, concat, output = _G, table.concat, io.output
local OUTPUTS = { [io.stdout] = 1, [io.stderr] = 2 }

local methods = core.file_methods
local write = methods.write

function print(...)
  local parts, count = { ... }, select("#", ...)
  for index = 1, count do
    local text = globals.tostring(parts[index])
    local kind = type(text)
    if kind ~= "string" and kind ~= "number" then
      error("'tostring' must return a string to 'print'", 2)
    end
    parts[index] = text
  end
  write_text(1, concat(parts, "\t", 1, count) .. "\n")
end

-- In the place of a tail call, after which nobody knew any more whose line is to blame for an argument.
local function told(...)
  return ...
end

local function write_to(fd, ...)
  local parts, count = { ... }, select("#", ...)
  for index = 1, count do
    local kind = type(parts[index])
    if kind ~= "string" and kind ~= "number" then
      error(format("bad argument #%d to 'write' (string expected, got %s)", index, kind), 3)
    end
  end
  return write_text(fd, concat(parts, "", 1, count))
end

function methods.write(file, ...)
  local fd = OUTPUTS[file]
  if fd then
    return told(write_to(fd, ...))
  end
  return write(file, ...)
end

function io.write(...)
  local file = output()
  local fd = OUTPUTS[file]
  if fd then
    return told(write_to(fd, ...))
  end
  return write(file, ...)
end
