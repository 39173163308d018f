-- SPDX-License-Identifier: MIT
--
-- What runs first in a state: coroutines whose waiting reaches the task, the one loader for all chunks, `require`,
-- and, in user states, taking away what a route file must not reach. Called with the C functions of bind_moongate.c;
-- keeps what it needs as locals, so that nothing that user code changes later reaches the library.

-- luacheck: ignore 121 122 131 (it sets the globals up)

local _, core = ...
local waiting, check_passing, search, is_deep = core.waiting, core.check_passing, core.search, core.is_deep
local error, type, select, tostring, pairs = error, type, select, tostring, pairs
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local load, loadfile, compile, setfenv = load, loadfile, core.compile, setfenv
local loaded, preload = package.loaded, package.preload

-- A call that waits yields `waiting` first. Whoever resumed that coroutine hands it on, up to the task, and hands
-- back what came of it.
local function pass(co, ok, ...)
  if ok and (...) == waiting then
    check_passing()
    return pass(co, resume(co, yield(...)))
  end
  return ok, ...
end

local function checked(ok, ...)
  if ok then
    return ...
  end
  error((...), 0)
end

-- Each coroutine within another stands on C's stack, which Lua does not look at.
local DEEP = "stack overflow: coroutines within each other, too many of them"

function coroutine.resume(co, ...)
  if is_deep() then
    return false, DEEP
  end
  return pass(co, resume(co, ...))
end

function coroutine.wrap(fn)
  local co = create(fn)
  return function(...)
    if is_deep() then
      error(DEEP, 2)
    end
    return checked(pass(co, resume(co, ...)))
  end
end

-- A library module gets the C functions as well.
local function as_loader(chunk, kind)
  if kind ~= "library" then
    return chunk
  end
  return function(name)
    return chunk(name, core)
  end
end

-- What LuaSocket has in C, and where its Lua differs from the RFCs, is ours; the rest of it is found as any module is.
local compatible = {
  ["socket"] = "moongate.luasocket",
  ["socket.core"] = "moongate.luasocket.core",
  ["socket.unix"] = "moongate.luasocket.unix",
  ["socket.url"] = "moongate.luasocket.url",
  ["mime.core"] = "moongate.mime_core",
}

local function find(name)
  if not core.trusted and compatible[name] then
    local required = compatible[name]
    return function()
      return require(required)
    end
  end
  local chunk, kind = search(name)
  return chunk and as_loader(chunk, kind)
end

-- Where the program's own states look for what is not embedded (argparse, cjson): where packages put it, and never in
-- the directory that a command happens to be called in. What may be writable for others than root comes last.
local function fixed(path)
  local packaged, own = {}, {}
  for entry in path:gmatch "[^;]+" do
    if entry:find "^/usr/local/" then
      own[#own + 1] = entry
    elseif entry:find "^/" then
      packaged[#packaged + 1] = entry
    end
  end
  return table.concat(packaged, ";") .. ";" .. table.concat(own, ";")
end

if core.trusted then
  table.insert(package.loaders, 2, function(name)
    return find(name) or "\n\tno module '" .. name .. "' in the library"
  end)
  package.path, package.cpath = fixed(package.path), fixed(package.cpath)
  moongate = require("moongate")
  return
end

-- LuaJIT's metatable of files is its own __index: a file's field would be its finalizer, to call or to replace.
local file, methods = getmetatable(io.stdout), {}
for name, method in pairs(file) do
  methods[name] = name:sub(1, 2) ~= "__" and method or nil
end
file.__index, file.__metatable = methods, "file"
core.file_methods = methods

-- What few scripts use is loaded by the first that does. The module gets the functions that it stands for.
local function load_later(module, places)
  local own, made = {}, nil
  for key, place in pairs(places) do
    local name = key:gsub("^file_", "")
    own[key] = place[name]
    place[name] = function(...)
      made = made or search(module)(module, core, own)
      return made[key](...)
    end
  end
end

load_later("moongate.bounded_files", {
  open = io,
  tmpfile = io,
  close = io,
  input = io,
  output = io,
  read = io,
  lines = io,
  file_read = methods,
  file_lines = methods,
  file_close = methods,
})
if not core.compiled then
  search("moongate.bounded")("moongate.bounded", core)
  load_later("moongate.sorting", { sort = table })
end
search("moongate.printing")("moongate.printing", core)

local forbidden = {
  ffi = "it reaches memory past every guard",
  jit = "what is compiled is beyond the watchdog's reach; see script.jit in the config",
  ["string.buffer"] = "it reaches memory past every guard",
  ssl = "LuaSec is made of C; moongate.connect(host, port, { tls = true }) has TLS",
}
forbidden["ssl.https"] = forbidden.ssl

local loading = {}

-- Called by require() alone: what it raises has the line of require's caller.
local function locate(name)
  local loader = preload[name] or find(name)
  if not loader then
    if forbidden[name] then
      error(("module '%s' is not available to route files: %s"):format(name, forbidden[name]), 3)
    end
    local path = core.module_path
    local places = path and ("%s/%s.lua, …/init.lua"):format(path, (name:gsub("%.", "/"))) or "no directory of modules"
    error(("module '%s' not found: it is neither in the library nor beside routes/ (%s)"):format(name, places), 3)
  end
  return loader
end

local function load_module(name, loader)
  loaded[name] = loading
  local value = loader(name)
  if value ~= nil then
    loaded[name] = value
  elseif loaded[name] == loading then
    loaded[name] = true
  end
  return loaded[name]
end

local pcall, format, gsub = pcall, string.format, string.gsub

function require(name)
  if type(name) ~= "string" then
    error(format("bad argument #1 to 'require' (string expected, got %s)", type(name)), 2)
  end
  local value = loaded[name]
  if value == loading then
    error(format("module '%s' requires itself, directly or in a circle", name), 2)
  end
  if value ~= nil then
    return value
  end
  local loader = locate(name)
  local ok, result = pcall(load_module, name, loader)
  if not ok then
    loaded[name] = nil
    error(result, 0)
  end
  return result
end

local concat = table.concat

-- The pieces that a function gives, until nil or "". Were it called from within the C loader, the watchdog could not
-- stop it.
local function collect(read)
  local pieces = {}
  for piece in read do
    local kind = type(piece)
    if kind ~= "string" and kind ~= "number" then
      error("reader function must return a string", 3)
    end
    if piece == "" then
      break
    end
    pieces[#pieces + 1] = piece
  end
  return concat(pieces)
end

-- Text only: bytecode can break the interpreter.
local function load_text(chunk, name, _, ...)
  if type(chunk) == "function" then
    chunk, name = collect(chunk), name or "=(load)"
  end
  if type(chunk) ~= "string" or name ~= nil and type(name) ~= "string" then
    return load(chunk, name, "t")
  end
  local fn, err = compile(chunk, name)
  if not fn then
    return nil, err
  end
  return type((...)) == "table" and setfenv(fn, (...)) or fn
end

_G.load, loadstring = load_text, load_text

function _G.loadfile(path, _, ...)
  if type(path) ~= "string" then
    error("loadfile needs the name of a file here", 2)
  end
  if select("#", ...) > 0 then
    return loadfile(path, "t", (...))
  end
  return loadfile(path, "t")
end

function dofile(path)
  if type(path) ~= "string" then
    error("dofile needs the name of a file here", 2)
  end
  local chunk, err = loadfile(path, "t")
  if not chunk then
    error(err, 0)
  end
  return chunk()
end

local function refuse(name, why)
  return function()
    error(format("%s is not available to route files: %s", name, why), 2)
  end
end

os.exit = refuse("os.exit", "it would end the whole proxy; return, or raise an error")
os.execute = refuse("os.execute", "it would hold up every connection of the worker")
os.setlocale = refuse("os.setlocale", "it would change the whole process")
io.popen = refuse("io.popen", "it would hold up every connection of the worker")
string.dump = refuse("string.dump", "bytecode is not loaded either")
newproxy, jit = nil, nil

local traceback, getinfo = debug.traceback, debug.getinfo

-- Of the stack no C functions are given away: load and coroutine.resume stand there as Lua has them.
local function without_builtin(info)
  if info and info.func and getinfo(info.func, "S").what == "C" then
    info.func = nil
  end
  return info
end

debug = {
  traceback = traceback,
  getinfo = function(where, ...)
    if type(where) == "function" then
      return getinfo(where, ...)
    end
    return without_builtin(getinfo(type(where) == "number" and where + 1 or where, ...))
  end,
}
loaded.debug, loaded.jit, loaded.ffi = debug, nil, nil

for name in pairs(preload) do
  if gsub(tostring(name), "^table%.", "") == name then
    preload[name] = nil
  end
end
package.loadlib, package.loaders, package.searchpath, package.cpath, package.config = nil, nil, nil, nil, nil
package.path = core.module_path and format("%s/?.lua;%s/?/init.lua", core.module_path, core.module_path) or ""

moongate = require("moongate")
