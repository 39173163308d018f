-- SPDX-License-Identifier: MIT
--
-- Files of user states. Opening is bounded: by limits.open_files, and by what is left of descriptors when some are kept
-- for who looks and who changes something. So is reading lines: LuaJIT's own never come back from a file that is
-- nothing but NULs, as /dev/zero is. Whatever else is read is bounded by limits.script_memory.

-- Loaded when a script first uses one of them (lua/moongate/sandbox.lua), with LuaJIT's own; few do.

local _, core, own = ...
local read_line, has_descriptor, is_spare = core.read_line, core.has_descriptor, core.is_spare
local close_forgotten, tell_unopened = core.close_forgotten, core.tell_unopened
local error, select, type, unpack, next = error, select, type, unpack, next
local format, match = string.format, string.match
local open, tmpfile, input, output, kind_of = own.open, own.tmpfile, own.input, own.output, io.type
local setmetatable = setmetatable
local read, close = own.file_read, own.file_close
local files = {}

local EMFILE, most_open = 24, core.open_files
-- Those that are not closed; what Lua has collected goes of itself, and then `open_count` is too high.
local opened, open_count = setmetatable({}, { __mode = "k" }), 0

local function count_open()
  open_count = 0
  for file in next, opened do
    if kind_of(file) == "file" then
      open_count = open_count + 1
    else
      opened[file] = nil
    end
  end
  return open_count
end

local function refused(name, of_limit)
  tell_unopened(of_limit)
  return nil, (name and name .. ": " or "") .. "Too many open files", EMFILE
end

-- What `make` gives: LuaJIT's io.open or io.tmpfile.
local function make_within(make, name, mode)
  if open_count >= most_open and not close_forgotten(count_open, most_open) then
    return refused(name, true)
  elseif not has_descriptor() then
    return refused(name, false)
  end
  local file, err, code = make(name, mode)
  if not file then
    return nil, err, code
  elseif is_spare(file) then
    close(file)
    return refused(name, false)
  end
  opened[file], open_count = true, open_count + 1
  return file
end

local function close_counted(file)
  local kind = kind_of(file)
  if kind ~= "file" then
    error(kind and "attempt to use a closed file"
      or format("bad argument #1 to 'close' (FILE* expected, got %s)", type(file)), 2)
  end
  if opened[file] then
    opened[file], open_count = nil, open_count - 1
  end
  return close(file)
end

files.file_close = close_counted

function files.close(...)
  if select("#", ...) == 0 then
    return close_counted(output())
  end
  return close_counted((...))
end

local function check_text(value, number, name)
  if type(value) ~= "string" and type(value) ~= "number" then
    error(format("bad argument #%d to '%s' (string expected, got %s)", number, name,
      value == nil and "no value" or type(value)), 3)
  end
end

function files.open(name, mode)
  check_text(name, 1, "open")
  if mode ~= nil then
    check_text(mode, 2, "open")
  end
  return make_within(open, name, mode)
end

function files.tmpfile()
  return make_within(tmpfile)
end

-- io.input and io.output: of a name the file, which is opened as `mode` says.
local function of_name(choose, mode)
  return function(file, ...)
    if type(file) ~= "string" and type(file) ~= "number" then
      return choose(file, ...)
    end
    local made, err = make_within(open, file, mode)
    if not made then
      error(err, 2)
    end
    return choose(made)
  end
end

files.input, files.output = of_name(input, "r"), of_name(output, "w")

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

files.file_read = read_all

function files.file_lines(file, ...)
  if kind_of(file) ~= "file" then
    error(kind_of(file) and "attempt to use a closed file" or "bad argument #1 to 'lines' (FILE* expected)", 2)
  end
  return iterate(file, false, ...)
end

function files.read(...)
  return read_all(input(), ...)
end

function files.lines(name, ...)
  if name == nil then
    return iterate(input(), false, ...)
  end
  check_text(name, 1, "lines")
  local file, err = make_within(open, name)
  if not file then
    error(err, 2)
  end
  return iterate(file, true, ...)
end

return files
