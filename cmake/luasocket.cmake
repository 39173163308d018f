# SPDX-License-Identifier: MIT
#
# LUASOCKET_SOURCES: the part of LuaSocket that is Lua, which stands on C functions of ours. They are those that Debian's
# package lua-socket ships, and are embedded beside lua/ (cmake/embed.cmake).

find_path(LUASOCKET_LUA socket/url.lua PATHS /usr/share/lua/5.1 NO_DEFAULT_PATH)
if(NOT LUASOCKET_LUA)
  message(FATAL_ERROR "LuaSocket's Lua files are not in /usr/share/lua/5.1: install the package lua-socket")
endif()

set(LUASOCKET_SOURCES ltn12.lua mime.lua socket.lua socket/ftp.lua socket/headers.lua socket/http.lua socket/mbox.lua
                      socket/smtp.lua socket/tp.lua socket/url.lua)
