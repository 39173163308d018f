-- SPDX-License-Identifier: MIT
--
-- Compiles the Lua library to bytecode, debug information kept, and writes it as one C source:
-- embed.lua DIRECTORY LIST OUTPUT. LIST names the files, relative to DIRECTORY, one a line. Chunks are named
-- "@moongate/x.lua", so that tracebacks read like paths. What a syntax error prints can be clicked: file:line: message.

local directory, list, output = arg[1], arg[2], arg[3]

local function fail(message)
  io.stderr:write(message, "\n")
  os.exit(1)
end

local function read(path)
  local file, err = io.open(path, "rb")
  if not file then
    fail(err)
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function module_name(path)
  return (path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

local function compile(path)
  local source = read(directory .. "/" .. path)
  local chunk, err = loadstring(source, "@" .. path)
  if not chunk then
    fail("lua/" .. err)
  end
  return string.dump(chunk, false)
end

local function as_array(bytes)
  local lines = {}
  for start = 1, #bytes, 24 do
    lines[#lines + 1] = "    " .. table.concat({ bytes:byte(start, start + 23) }, ",") .. ","
  end
  return table.concat(lines, "\n")
end

local arrays, entries = {}, {}
for path in read(list):gmatch("[^\n]+") do
  local bytecode = compile(path)
  local index = #entries
  arrays[index + 1] = ("static const unsigned char file_%d[] = {\n%s\n};\n"):format(index, as_array(bytecode))
  entries[index + 1] = ('    {"%s", file_%d, sizeof file_%d},\n'):format(module_name(path), index, index)
end

local file = assert(io.open(output, "wb"))
assert(file:write(
  "/* Generated from lua/ by cmake/embed.lua. */\n",
  '#include "bindings/embedded.h"\n\n',
  table.concat(arrays, "\n"),
  "\nconst struct embedded_file embedded_lua[] = {\n",
  table.concat(entries),
  "    {0}, /* ends the table; not counted */\n};\n",
  ("const size_t embedded_lua_count = %d;\n"):format(#entries)
))
assert(file:close())
