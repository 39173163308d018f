/* SPDX-License-Identifier: MIT
 *
 * Bytes from the network that are held for a script before they are Lua's: what its sockets have read ahead, and the
 * bodies of requests. Beyond 64 KiB each they count against the memory of the script's state. */
#pragma once

#include "core/buffer.h"
#include "script/state.h"

/* `buffer` (may be NULL) has changed, or is gone: its memory counts as the state's. `*counted`, 0 at first, is how much
 * of it does. */
void script_held_count(struct script_state *state, const struct buffer *buffer, size_t *counted);

/* Whether `size` more bytes in `buffer` (may be NULL) would be too many for the state, also without its garbage, which
 * is collected then. The last quarter of its memory is left to Lua, so that those who hold much fail before others do.
 */
bool script_held_is_too_much(struct script_state *state, const struct buffer *buffer, size_t size);

/* … and for `size` bytes wherever they are held. */
bool script_held_has_room(struct script_state *state, size_t size);
