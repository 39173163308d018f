-- SPDX-License-Identifier: MIT
-- luacheck: our library, route files and specs, all Lua 5.1 as LuaJIT speaks it.

std = "luajit"
max_line_length = 120
self = false
unused_args = false -- what is called back has the arguments that it is given
read_globals = { "moongate" } -- there without `require` in route files, handlers and specs
exclude_files = { "build", "lua/moongate/_meta" }

files["spec/**/*.lua"] = { std = "+busted" }
