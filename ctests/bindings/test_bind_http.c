/* SPDX-License-Identifier: MIT
 *
 * "moongate.http_parser" in a bare Lua state: what Lua sees of a request, misuse, and the HTTP server of lua/ on top of
 * the real parser, with the specs' fake socket. */
#include "bindings/bind_http.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int set_up(void **state) {
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_pushliteral(L, "lua/?.lua;lua/?/init.lua;?.lua");
  lua_setfield(L, -2, "path");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, luaopen_moongate_http_parser);
  lua_setfield(L, -2, "moongate.http_parser");
  lua_settop(L, 0);
  *state = L;
  return 0;
}

static int tear_down(void **state) {
  lua_close(*state);
  return 0;
}

/* Runs the chunk with its asserts; what it raises fails the test. */
static void run(void **state, const char *chunk) {
  lua_State *L = *state;
  int failed = luaL_loadstring(L, chunk) || lua_pcall(L, 0, 0, 0);
  if (failed)
    print_message("%s\n", lua_tostring(L, -1));
  assert_false(failed);
}

#define PARSER "local parser = require('moongate.http_parser').new()\n"
#define CHECK                                                                                                          \
  "local function check(got, wanted)\n"                                                                                \
  "  if got ~= wanted then\n"                                                                                          \
  "    error(('%q instead of %q'):format(tostring(got), tostring(wanted)), 2)\n"                                       \
  "  end\n"                                                                                                            \
  "end\n"

static void a_head_becomes_fields(void **state) {
  run(state, PARSER CHECK
      "local head = 'GET /x?y HTTP/1.1\\r\\nHOST: a\\r\\nX-One: 1\\r\\nCookie: a=1\\r\\nx-one:2\\r\\ncookie: "
      "b=2\\r\\n\\r\\n'\n"
      "check(parser.method, nil)\n"
      "check(parser:is_idle(), true)\n"
      "local consumed, event = parser:feed(head .. 'rest')\n"
      "check(consumed, #head) check(event, 'head')\n"
      "check(parser.method, 'GET') check(parser.target, '/x?y') check(parser.version, '1.1')\n"
      "check(parser.keep_alive, true) check(parser.length, 0) check(parser.chunked, false)\n"
      "check(#parser.headers, 5) check(parser.headers[2].name, 'X-One') check(parser.headers[2].value, '1')\n"
      "check(parser.headers.host, 'a') check(parser.headers['x-one'], '1, 2') check(parser.headers.cookie, 'a=1; "
      "b=2')\n"
      "check(parser.body, nil)\n"
      "check(parser:is_idle(), false)\n"
      "consumed, event = parser:feed('')\n"
      "check(consumed, 0) check(event, 'complete')\n"
      "check(parser.body, '') check(parser.method, 'GET')\n"
      "consumed, event = parser:feed('GE')\n"
      "check(consumed, 2) check(event, 'more')\n"
      "check(parser.method, nil) check(parser.body, nil)\n");
}

static void a_body_is_collected(void **state) {
  run(state, PARSER CHECK "local message = 'PUT / HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'\n"
                          "  .. '3\\r\\na\\0b\\r\\n4\\r\\ncdef\\r\\n0\\r\\n\\r\\n'\n"
                          "for round = 1, 3 do\n"
                          "  local event, events = nil, ''\n"
                          "  for at = 1, #message do\n"
                          "    local consumed\n"
                          "    consumed, event = parser:feed(message:sub(at, at))\n"
                          "    check(consumed, 1)\n"
                          "    events = events .. (event == 'more' and '' or event .. ' ')\n"
                          "  end\n"
                          "  check(events, 'head complete ')\n"
                          "  check(parser.body, 'a\\0bcdef')\n"
                          "end\n");
}

static void limits_and_faults_come_with_status_and_reason(void **state) {
  run(state, CHECK
      "local new = require('moongate.http_parser').new\n"
      "local parser = new { max_body = 4 }\n"
      "local _, event, status, reason = parser:feed 'PUT / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 5\\r\\n\\r\\n'\n"
      "check(event, 'error') check(status, 413) check(type(reason), 'string')\n"
      "local consumed\n"
      "consumed, event, status = parser:feed 'GET'\n"
      "check(consumed, 0) check(event, 'error') check(status, 413)\n"
      "_, event, status = new { max_head = 32 }:feed('GET / HTTP/1.1\\r\\nX: ' .. ('x'):rep(32))\n"
      "check(event, 'error') check(status, 431)\n"
      "_, event, status = new { max_fields = 1 }:feed 'GET / HTTP/1.1\\r\\nX: 1\\r\\nY: 2\\r\\n'\n"
      "check(event, 'error') check(status, 431)\n"
      "local half = new()\n"
      "half:feed 'PUT / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 5\\r\\n\\r\\n'\n"
      "half:feed 'abc'\n" /* collected by the garbage collector with half a body */);
}

static void misuse_raises(void **state) {
  run(state, CHECK "local http_parser = require('moongate.http_parser')\n"
                   "local function raises(part, fn, ...)\n"
                   "  local fine, message = pcall(fn, ...)\n"
                   "  check(fine, false)\n"
                   "  if not message:find(part, 1, true) then error(message) end\n"
                   "end\n"
                   "raises('max_head is not a number of bytes', http_parser.new, { max_head = 0 })\n"
                   "raises('max_body is not a number of bytes', http_parser.new, { max_body = 0/0 })\n"
                   "raises('number expected', http_parser.new, { max_body = {} })\n"
                   "raises('table expected', http_parser.new, 5)\n"
                   "local parser = http_parser.new()\n"
                   "raises('string expected', parser.feed, parser)\n"
                   "raises('moongate.http_parser expected', parser.feed, io.stdout, 'x')\n"
                   "check(getmetatable(parser), false)\n");
}

static void the_server_answers_with_the_real_parser(void **state) {
  run(state,
      CHECK "local server = require('moongate.http_server')\n"
            "local fake_socket = require('spec.support.fake_socket')\n"
            "local function ask(steps)\n"
            "  local socket = fake_socket(steps)\n"
            "  server.serve(socket, function(request)\n"
            "    return { body = request.method .. ' ' .. request.path .. ' ' .. request.body .. '\\n' }\n"
            "  end, { now = socket:clock(), date = false, max_body = 8 })\n"
            "  return socket:output()\n"
            "end\n"
            "local function ok(body)\n"
            "  return 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain; charset=utf-8\\r\\nContent-Length: '\n"
            "    .. #body .. '\\r\\n\\r\\n' .. body\n"
            "end\n"
            "local get = 'GET /1 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'\n"
            "local put = 'PUT /2 HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: "
            "chunked\\r\\n\\r\\n2\\r\\nab\\r\\n0\\r\\n\\r\\n'\n"
            "check(ask { get .. put .. get }, ok 'GET /1 \\n' .. ok 'PUT /2 ab\\n' .. ok 'GET /1 \\n')\n"
            "local bytes = {}\n"
            "for byte in (put .. get):gmatch '.' do bytes[#bytes + 1] = byte end\n"
            "check(ask(bytes), ok 'PUT /2 ab\\n' .. ok 'GET /1 \\n')\n"
            "local statuses = {\n"
            "  ['GET / HTTP/1.1\\r\\n\\r\\n'] = '400 Bad Request',\n"
            "  ['\\22\\3\\1'] = '400 Bad Request',\n"
            "  ['BREW / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'] = '501 Not Implemented',\n"
            "  ['GET / HTTP/3.0\\r\\n'] = '505 HTTP Version Not Supported',\n"
            "  ['GET /' .. ('x'):rep(20000)] = '414 URI Too Long',\n"
            "  ['GET / HTTP/1.1\\r\\nX: ' .. ('x'):rep(20000)] = '431 Request Header Fields Too Large',\n"
            "  ['PUT / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 9\\r\\n\\r\\n123456789'] = '413 Content Too Large',\n"
            "}\n"
            "for input, status in pairs(statuses) do\n"
            "  check(ask({ get .. input, 1, 'more' }):match('GET /1 \\nHTTP/1.1 ([^\\r]*)\\r\\n'), status)\n"
            "end\n"
            "check(ask { get, '\\r\\n', 3600 }, ok 'GET /1 \\n')\n"
            "check(ask { 'GET / HT', 3600 }:match('^HTTP/1.1 ([^\\r]*)'), '408 Request Timeout')\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_head_becomes_fields, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_body_is_collected, set_up, tear_down),
      cmocka_unit_test_setup_teardown(limits_and_faults_come_with_status_and_reason, set_up, tear_down),
      cmocka_unit_test_setup_teardown(misuse_raises, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_server_answers_with_the_real_parser, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
