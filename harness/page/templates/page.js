'use strict';
// Filters, sorting, copying and folding. All that it works on stands in the page already, which is whole without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, given = {}, ...inside) => {
    const node = Object.assign(document.createElement(tag), given);
    node.append(...inside);
    return node;
  };
  const button = (text, act, given = {}) => {
    const node = make('button', { type: 'button', ...given }, text);
    node.addEventListener('click', act);
    return node;
  };

  // ---- What the page holds: its cases, by place and variant ----
  const listed = all('tr[data-case]').map(row => ({
    row, place: row.closest('[data-place]').dataset.place, device: row.closest('[data-place]').dataset.device,
    variant: row.dataset.variant, baseline: row.classList.contains('baseline'), marks: row.dataset.case.split(' '),
  }));
  const cases = new Map(listed.map(one => [JSON.stringify([one.place, one.variant]), one]));
  const overview = all('tr[data-marks]').map(row => ({ row, device: row.dataset.device, marks: row.dataset.marks.split(' ') }));
  const columns = all('th[data-variant]');
  const others = all('[data-place] tbody tr:not([data-case])').map(row => {
    const head = row.querySelector('th[scope=row]');
    const name = head && (head.querySelector('.variant') || head).textContent.trim();
    return { row, of: cases.get(JSON.stringify([row.closest('[data-place]').dataset.place, name])) };
  }).filter(one => one.of);
  const unique = values => [...new Set(values)].filter(Boolean);
  const choices = {
    device: ['Device', unique([...listed, ...overview].map(one => one.device)).map(one => [one, one])],
    variant: ['Variant', unique([...listed.map(one => one.variant), ...columns.map(one => one.dataset.variant)]).map(one => [one, one])],
    metric: ['Metric', [...new Map(all('th[data-metric]').map(one => [one.dataset.metric, one.textContent.trim()]))]],
    only: ['Only', [['changed', 'what changed'], ['failing', 'failures and errors'], ['doubtful', 'degraded or invalid']]],
  };

  // ---- The state of the view; it stands in the fragment, so that a view can be sent ----
  const state = { at: '', device: '', variant: '', metric: '', only: '', sort: '' };
  const read = () => {
    const parts = location.hash.slice(1).split('&');
    Object.keys(state).forEach(key => { state[key] = ''; });
    parts.forEach(part => {
      const [key, value] = part.includes('=') ? part.split(/=(.*)/s) : ['at', part];
      if (!(key in state)) return;
      // A link that was cut may end in half an escape.
      try { state[key] = decodeURIComponent(value); } catch { state[key] = ''; }
    });
    Object.entries(choices).forEach(([key, [, known]]) => {
      if (!known.some(([value]) => value === state[key])) state[key] = '';
    });
  };
  const fragment = () => '#' + Object.entries(state).filter(([, value]) => value)
    .map(([key, value]) => (key === 'at' ? '' : `${key}=`) + encodeURIComponent(value)).join('&');
  const change = values => {
    Object.assign(state, values);
    history.replaceState(null, '', fragment());
    apply();
  };

  // ---- Filters ----
  const wanted = one => (!state.device || one.device === state.device) && (!state.only || one.marks.includes(state.only));
  const shown = one => wanted(one) && (!state.variant || one.variant === state.variant || (one.baseline && !state.only));
  const count = make('output', { className: 'count' });
  const selects = {};
  const apply = () => {
    const filtered = ['device', 'variant', 'metric', 'only'].some(key => state[key]);
    Object.entries(selects).forEach(([key, node]) => { node.value = state[key]; });
    listed.forEach(one => { one.row.hidden = !shown(one); });
    others.forEach(one => { one.row.hidden = !shown(one.of); });
    overview.forEach(one => { one.row.hidden = !wanted(one); });
    columns.forEach(head => {
      const hide = Boolean(state.variant) && head.dataset.variant !== state.variant, at = head.cellIndex;
      all('tr', head.closest('table')).forEach(row => { if (row.cells[at]) row.cells[at].hidden = hide; });
    });
    all('[data-metric]').forEach(node => { node.hidden = Boolean(state.metric) && node.dataset.metric !== state.metric; });
    const open = new Set(listed.filter(shown).map(one => one.place));
    all('main section').forEach(section => {
      const places = all('[data-place]', section);
      places.forEach(one => {
        one.hidden = (Boolean(state.device) && one.dataset.device !== state.device) || (filtered && listed.length > 0 && !open.has(one.dataset.place));
      });
      section.hidden = places.length > 0 && places.every(one => one.hidden);
    });
    const of = listed.length ? listed : overview, seen = listed.length ? listed.filter(shown) : overview.filter(wanted);
    count.textContent = filtered ? `${seen.length} of ${of.length} ${listed.length ? 'cases' : 'places'} shown` : '';
    reset.hidden = !filtered;
    sort();
  };
  const reset = button('Show all', () => change({ device: '', variant: '', metric: '', only: '' }));
  const bar = make('form', { className: 'tools' });
  bar.setAttribute('aria-label', 'What is shown');
  Object.entries(choices).forEach(([key, [title, known]]) => {
    if (known.length < 2) return;
    const select = make('select', { id: `show-${key}` }, make('option', { value: '' }, 'all'), ...known.map(([value, text]) => make('option', { value }, text)));
    select.addEventListener('change', () => change({ [key]: select.value }));
    selects[key] = select;
    bar.append(make('span', {}, make('label', { htmlFor: select.id }, title), ' ', select));
  });
  bar.addEventListener('submit', event => event.preventDefault());
  bar.append(reset, count);
  const nav = document.querySelector('nav');
  if (nav && (listed.length > 1 || overview.length > 1)) nav.after(bar);

  // ---- Sorting: only columns whose every cell says its number, so that 935 µs never stands above 1.22 ms ----
  const tables = all('main table');
  tables.forEach(table => {
    const body = table.tBodies[0], head = table.tHead && table.tHead.rows[0];
    if (!body || !head || body.rows.length < 2) return;
    table.own = [...body.rows];
    [...head.cells].forEach((cell, at) => {
      if (!table.own.some(row => row.cells[at] && row.cells[at].hasAttribute('data-sort'))) return;
      const name = `${tables.indexOf(table)}.${at}`;
      const turn = () => {
        const [was, way] = [state.sort.replace(/\.[ad]$/, ''), state.sort.slice(-1)];
        change({ sort: was !== name ? `${name}.a` : way === 'a' ? `${name}.d` : '' });
      };
      const sorter = button('', turn, { className: 'sort' });
      sorter.append(...cell.childNodes);
      cell.append(sorter);
    });
  });
  const key = (row, at) => {
    const cell = row.cells[at], given = at === 'worst' ? row.dataset.worst : cell ? cell.getAttribute('data-sort') : null;
    return given === null || given === '' ? null : Number(given);
  };
  const sort = () => {
    const [table, column, way] = state.sort.split('.');
    tables.forEach((one, number) => {
      if (!one.own) return;
      const mine = state.sort !== '' && String(number) === table, rows = [...one.own];
      // What has no number stands last, in both directions.
      if (mine) rows.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        return x === null || y === null ? (x === null) - (y === null) : way === 'd' ? y - x : x - y;
      });
      if (rows.some((row, at) => one.tBodies[0].rows[at] !== row)) one.tBodies[0].append(...rows);
      all('thead th', one).forEach((cell, at) => {
        if (mine && String(at) === column) cell.setAttribute('aria-sort', way === 'd' ? 'descending' : 'ascending');
        else cell.removeAttribute('aria-sort');
      });
    });
  };
  all('table.dense').forEach(table => {
    if (!table.own || !table.querySelector('[data-worst]')) return;
    const name = `${tables.indexOf(table)}.worst`;
    table.closest('.scroll').before(make('p', { className: 'act' }, button('Worst first', () => change({ sort: state.sort === `${name}.d` ? '' : `${name}.d` }))));
  });

  // ---- Copying ----
  const plain = node => {
    const copy = node.cloneNode(true);
    all('.quiet, .self', copy).forEach(one => one.remove());
    all('span, br, li, p', copy).forEach(one => one.after(' '));
    return copy.textContent.replace(/\s+/g, ' ').trim();
  };
  const rowsOf = table => [...table.rows].filter(row => !row.hidden).map(row => [...row.cells].filter(cell => !cell.hidden));
  const markdown = table => {
    const line = cells => `| ${cells.join(' | ')} |`;
    const [head, ...rows] = rowsOf(table).map(row => row.map(cell => plain(cell).replace(/([\\|`*_<>[\]])/g, '\\$1')));
    return [head, head.map(() => '---'), ...rows].map(line).join('\n');
  };
  // A spreadsheet gets numbers: each column that has them, as they were computed, in the unit of its head.
  const numbers = ['change', 'low', 'high', 'verdict'];
  const spread = table => {
    const rows = rowsOf(table), wide = new Set();
    rows.forEach(row => row.forEach((cell, at) => { if ('change' in cell.dataset) wide.add(at); }));
    return rows.map((row, line) => row.flatMap((cell, at) => {
      const written = plain(cell).replace(/\u2212/g, '-');
      // A name that a spreadsheet would take for a formula stays a name.
      const text = /^[=+@]|^-(?![\d.])/.test(written) ? `'${written}` : written, own = cell.dataset.sort ?? text;
      const unit = cell.dataset.unit ? ` [${cell.dataset.unit}]` : '';
      if (!wide.has(at)) return [line ? own : text + unit];
      return line ? [cell.dataset.sort ?? '', ...numbers.map(name => cell.dataset[name] ?? '')]
        : [text + unit, ...numbers.map(name => `${text}: ${name === 'change' ? 'change' : name === 'verdict' ? name : `change, ${name}`}`)];
    }).join('\t')).join('\n');
  };
  const copied = async (text, node) => {
    const was = node.textContent;
    try { await navigator.clipboard.writeText(text); node.textContent = 'Copied'; } catch {
      // A page that came over plain http may not use the clipboard: the text is selected instead.
      const area = make('textarea', { value: text, readOnly: true, className: 'copy' });
      area.setAttribute('aria-label', 'Copy this text');
      node.closest('.act').after(area);
      area.select();
      node.textContent = 'Selected below';
    }
    setTimeout(() => { node.textContent = was; }, 1500);
  };
  tables.forEach(table => {
    if (!table.tHead || !table.tBodies[0] || table.classList.contains('matrix')) return;
    const act = make('p', { className: 'act' });
    const named = plain(table.caption || make('span', {}, 'this table'));
    [['Copy as Markdown', markdown], ['Copy for a spreadsheet', spread]].forEach(([text, write]) => {
      const node = button(text, () => copied(write(table), node));
      node.setAttribute('aria-label', `${text}: ${named}`);
      act.append(node);
    });
    (table.closest('.scroll') || table).after(act);
  });

  // ---- On a phone, all but the answers is folded ----
  const ANSWERS = ['verdict', 'since', 'places', 'summary'];
  const phone = matchMedia('(max-width: 640px)').matches;
  const unfold = section => {
    if (!section.classList.contains('folded')) return;
    section.classList.remove('folded');
    section.querySelector('h2 button').setAttribute('aria-expanded', 'true');
  };
  if (phone) all('main > section').forEach(section => {
    const head = section.querySelector(':scope > h2');
    if (!head || ANSWERS.includes(section.id)) return;
    const node = button('', () => node.setAttribute('aria-expanded', String(!section.classList.toggle('folded'))), { className: 'fold' });
    node.append(...head.childNodes);
    node.setAttribute('aria-expanded', 'false');
    head.append(node);
    section.classList.add('folded');
  });
  const reveal = () => {
    const node = state.at && document.getElementById(state.at);
    if (!node) return;
    for (let one = node; one; one = one.parentElement) {
      if (one.tagName === 'DETAILS') one.open = true;
      if (one.tagName === 'SECTION') unfold(one);
    }
    node.scrollIntoView();
    all('.target').forEach(one => one.classList.remove('target'));
    if (node.matches('tr')) node.classList.add('target');
  };
  // A link inside the page changes where it stands, and keeps what is shown.
  document.addEventListener('click', event => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.at = decodeURIComponent(link.getAttribute('href').slice(1));
    const aim = document.getElementById(state.at), row = aim && listed.find(one => one.row === aim);
    if (row && !shown(row)) Object.assign(state, { device: '', variant: '', only: '' });
    history.pushState(null, '', fragment());
    apply();
    reveal();
    if (aim) { aim.tabIndex = -1; aim.focus({ preventScroll: true }); }
  });
  const arrive = () => { read(); apply(); reveal(); };
  addEventListener('hashchange', arrive);
  addEventListener('popstate', arrive);
  arrive();
})();
