// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/top-screen.h"

#include "host-controller/ctl/top-render.h"

#ifdef HAVE_NCURSES

#include <curses.h>

static const short colour_numbers[] = {
    [TEXT_ACTIVE] = COLOR_CYAN, [TEXT_WARNING] = COLOR_YELLOW, [TEXT_ALARM] = COLOR_RED};

static int attributes_of(TextColour colour, bool coloured)
{
    switch (colour) {
    case TEXT_HEADING:
        return A_BOLD;
    case TEXT_QUIET:
        return A_DIM;
    case TEXT_ALARM:
        return coloured ? COLOR_PAIR(TEXT_ALARM) : A_BOLD;
    case TEXT_ACTIVE:
    case TEXT_WARNING:
        return coloured ? COLOR_PAIR(colour) : A_NORMAL;
    case TEXT_PLAIN:
        break;
    }
    return A_NORMAL;
}

bool top_screen_open(const char **why)
{
    // Unlike initscr() it does not end the program when the terminal is of no use.
    if (!newterm(NULL, stdout, stdin)) {
        *why = "this terminal cannot be used, see $TERM";
        return false;
    }
    start_color();
    use_default_colors();
    for (int i = TEXT_ACTIVE; i <= TEXT_ALARM; i++) {
        init_pair((short)i, colour_numbers[i], -1);
    }
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    return true;
}

void top_screen_close(void)
{
    endwin();
}

void top_screen_size(int *rows, int *columns)
{
    getmaxyx(stdscr, *rows, *columns);
}

void top_screen_draw(const GArray *spans, bool colour)
{
    bool coloured = colour && has_colors();
    int row = -1;
    erase();
    for (guint i = 0; i < spans->len; i++) {
        const TopSpan *span = &g_array_index(spans, TopSpan, i);
        if (span->row != row) {
            row = span->row;
            move(row, 0);
        }
        attrset(attributes_of(span->colour, coloured));
        addstr(span->text);
    }
    attrset(A_NORMAL);
    refresh();
}

TopKey top_screen_key(char *letter)
{
    int key = getch();
    switch (key) {
    case ERR:
        return TOP_KEY_NONE;
    case KEY_UP:
        return TOP_KEY_UP;
    case KEY_DOWN:
        return TOP_KEY_DOWN;
    case KEY_PPAGE:
        return TOP_KEY_PAGE_UP;
    case KEY_NPAGE:
        return TOP_KEY_PAGE_DOWN;
    case KEY_HOME:
        return TOP_KEY_HOME;
    case KEY_END:
        return TOP_KEY_END;
    case KEY_RESIZE:
        return TOP_KEY_RESIZE;
    default:
        *letter = key > 0 && key < 128 ? (char)key : '\0';
        return TOP_KEY_LETTER;
    }
}

#else

bool top_screen_open(const char **why)
{
    *why = "this aerostatctl was built without ncurses";
    return false;
}

void top_screen_close(void)
{
}

void top_screen_size(int *rows, int *columns)
{
    *rows = *columns = 0;
}

void top_screen_draw(const GArray *spans, bool colour)
{
    (void)spans;
    (void)colour;
}

TopKey top_screen_key(char *letter)
{
    (void)letter;
    return TOP_KEY_NONE;
}

#endif
