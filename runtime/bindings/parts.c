/* SPDX-License-Identifier: MIT
 *
 * The table by which script/ reaches what its states have, and the functions of ours by name. */
#include "script/parts.h"

#include "bindings/bind_context.h"
#include "bindings/bind_moongate.h"
#include "luasocket/socket.h"

static const struct argument_names names[] = {{"moongate.", core_functions, false},
                                              {"socket:", socket_methods, true},
                                              {"context:", context_methods, true},
                                              {"dictionary:", shared_methods, true},
                                              {"timer:", timer_methods, true},
                                              {"task:", task_methods, true},
                                              {"moongate.metrics.", metrics_functions, false},
                                              {"counter:", counter_methods, true},
                                              {"gauge:", gauge_methods, true},
                                              {"histogram:", histogram_methods, true},
                                              {NULL, NULL, false}};

const struct script_parts script_parts = {
    .open_libraries = script_open_libraries,
    .start_timers = script_timers_start,
    .end_timers = script_timers_end,
    .end_unconnected = script_end_unconnected,
    .acts = script_state_acts,
    .let_sockets_go = script_sockets_let_go,
    .close_lingering = script_place_close_lingering,
    .names = names,
};
