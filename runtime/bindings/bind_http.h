/* SPDX-License-Identifier: MIT
 *
 * What the files of "moongate.http_parser" share: the parser that Lua holds (bind_http.c), and its exchanges with a
 * real socket (bind_http_exchange.c). */
#pragma once

#include "core/buffer.h"
#include "core/clock.h"
#include "http/request.h"
#include "script/state.h"

#include <lua.h>
#include <stdbool.h>

struct http_parser {
  struct http_request request;
  struct buffer *body;
  struct script_state *state; /* that the body counts for; NULL: not on a socket */
  size_t counted;             /* of it */
  bool complete_is_reported;
  struct script_state *feeder; /* whose script feeds it; NULL: an exchange, whose socket's bytes are counted as such */
  size_t fed;                  /* what it holds of what it was fed, in feeder->memory_used */
  /* What follows is for exchanges. */
  bool skips_heads;   /* a head is told only when a body follows */
  bool dated;         /* answers carry a Date */
  bool is_whole;      /* the last event was HTTP_EVENT_COMPLETE: there is a request to take */
  bool has_request;   /* a request was taken, and is not answered yet; its bytes are those of the parser still */
  bool fed_head;      /* the last event was HTTP_EVENT_HEAD */
  clock_ms date_ends; /* when the second that `date` is of is over; 0: there is none */
  size_t date_size;
  char date[48];
};

/* More bytes are about to be fed: what the parser has told so far is over. */
static inline void http_parser_forget(struct http_parser *parser) {
  parser->is_whole = parser->has_request = parser->fed_head = false;
}

/* Raises when there is none at `index`. */
struct http_parser *http_parser_check(lua_State *L, int index);

/* Makes the table of fields of the parser at index 1, whose head is complete. */
void http_parser_set_head(lua_State *L, const struct http_request *request);

/* Adds what has come of the body. False: there is no memory for it, and all of it is gone. */
bool http_parser_add_body(struct http_parser *parser);

/* Pushes the body that was collected, and forgets it. */
void http_parser_push_body(lua_State *L, struct http_parser *parser);

/* http_parser.exchange: see bind_http.c. */
int http_parser_exchange(lua_State *L);

/* http_parser.headers: see bind_http.c. */
int http_parser_headers(lua_State *L);

/* Sets headers[i] and headers[name] of the table at index `headers`. */
void http_parser_add_field(lua_State *L, int headers, int i, const struct http_field *field);

/* "moongate.http_parser": http/request.h for Lua (bind_http.c). Needs no place, and nothing of it waits. */
int luaopen_moongate_http_parser(lua_State *L);
