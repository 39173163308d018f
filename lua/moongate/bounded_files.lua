-- SPDX-License-Identifier: MIT
--
-- Reading lines of files, for user states: LuaJIT's own never come back from a file that is nothing but NULs, as
-- /dev/zero is. Whatever else is read is bounded by limits.script_memory.

-- luacheck: ignore 122 (it changes the io library)

local _, core = ...
local read_line = core.read_line
local error, select, type, unpack = error, select, type, unpack
local match = string.match
local open, input, kind_of = io.open, io.input, io.type
local methods = getmetatable(io.stdout)
local read = methods.read

local function read_one(file, wanted)
  local letter = type(wanted) == "string" and match(wanted, "^%*?([lL])")
  if letter then
    return read_line(file, letter == "L")
  end
  return read(file, wanted)
end

-- What file:read returns: a value for each of what is wanted, up to the first that is not there.
local function read_all(file, ...)
  local count = select("#", ...)
  if count == 0 then
    return read_line(file, false)
  elseif count == 1 then
    return read_one(file, (...))
  end
  local values = {}
  for i = 1, count do
    local value, err, code = read_one(file, (select(i, ...)))
    if err then
      return nil, err, code
    end
    values[i] = value
    if value == nil then
      return unpack(values, 1, i)
    end
  end
  return unpack(values, 1, count)
end

-- For a loop over what read_all gives; a file of its own is closed at the end.
local function iterate(file, is_own, ...)
  local wanted, count = { ... }, select("#", ...)
  local function given(value, ...)
    if value == nil then
      local err = ...
      if is_own then
        file:close()
      end
      if err then
        error(err, 3)
      end
    end
    return value, ...
  end
  return function()
    if kind_of(file) ~= "file" then
      error("file is already closed", 2)
    end
    return given(read_all(file, unpack(wanted, 1, count)))
  end
end

methods.read = read_all

function methods.lines(file, ...)
  if kind_of(file) ~= "file" then
    error(kind_of(file) and "attempt to use a closed file" or "bad argument #1 to 'lines' (FILE* expected)", 2)
  end
  return iterate(file, false, ...)
end

function io.read(...)
  return read_all(input(), ...)
end

function io.lines(name, ...)
  if name == nil then
    return iterate(input(), false, ...)
  end
  local file, err = open(name)
  if not file then
    error(err, 2)
  end
  return iterate(file, true, ...)
end
