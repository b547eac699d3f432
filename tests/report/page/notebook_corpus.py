"""Markup that tries to run in a page, and notebooks and reports that contain it.

RUN stands for a script that tells the outermost window that it ran, also from a nested frame; URL for an address that
nothing should request, whose answer is such a script; DOCUMENT for a page that runs one.
"""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from nbformat import NotebookNode, v4

from cnnlab import data
from cnnlab.data import Dataset, DataWarning
from cnnlab.errors import DataError
from cnnlab.report import page, tables, words
from cnnlab.report.page import Chapter
from cnnlab.report.tables import PLOT_TYPE
from cnnlab.study import PROFILES, PROTOCOLS, Claim, Trial
from cnnlab.tuning import ClaimResult, ClaimStatus, NextStep
from conftest import make_arrays, make_result

RUN = "top.postMessage(`ran`,`*`)"
URL = "http://asked.test/x"
DOCUMENT = f"<script>{RUN}</script>"
TAG = '<img src=x onerror="RUN">'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Payload(NamedTuple):
    """A text and its place: an output of a type, another part of a notebook, or the report itself."""

    place: str
    name: str
    text: str

    @property
    def whole(self) -> str:
        return self.text.replace("DOCUMENT", DOCUMENT).replace("RUN", RUN).replace("URL", URL)


IN_HTML = {
    # Scripts
    "script": "<script>RUN</script>",
    "script in mangled case": "<ScRiPt/x>RUN</sCrIpT\n>",
    "script from elsewhere": "<script src=URL></script>",
    "module": '<script type="module">RUN</script>',
    "script in a script": "<scr<script>ipt>RUN</scr</script>ipt>",
    "script after the page's end": "</pre></div></section></main></body></html><script>RUN</script>",
    # Event handlers
    "img onerror": TAG,
    "img with slashes for spaces": '<img/src="x"/onerror=RUN>',
    "img in mangled case": "<IMG SRC=x oNeRrOr=RUN>",
    "img onload": f'<img src="data:image/png;base64,{PIXEL}" onload="RUN">',
    "img whose handler is in entities": "<img src=x onerror=&#116;&#x6f;p.postMessage(&apos;ran&apos;,&quot;*&quot;)>",
    "img whose width is broken out of": "<img src=x width='1\" onerror=\"RUN' onerror=RUN>",
    "picture": "<picture><source srcset=x><img src=x onerror=RUN></picture>",
    "image that is no img": "<image src=x onerror=RUN>",
    "body onload": "<body onload=RUN>",
    "frameset onload": "<frameset onload=RUN></frameset>",
    "details ontoggle": "<details open ontoggle=RUN><summary>x</summary></details>",
    "video source onerror": "<video><source onerror=RUN></video>",
    "audio onerror": "<audio src=x onerror=RUN></audio>",
    "input onfocus": "<input autofocus onfocus=RUN>",
    "input of type image": "<input type=image src=x onerror=RUN>",
    "marquee onstart": "<marquee onstart=RUN>x</marquee>",
    "unknown tag onclick": "<x-y onclick=RUN>x</x-y>",
    "link onmouseover": '<a href="#" onmouseover="RUN">x</a>',
    "animation": '<style>@keyframes x{}</style><p style="animation:x 1s" onanimationstart="RUN">x</p>',
    "popover": "<button popovertarget=x>x</button><div popover id=x onbeforetoggle=RUN>x</div>",
    # Styles and other files
    "style onload": "<style onload=RUN></style>",
    "style @import": "<style>@import 'URL';</style>",
    "style attribute": "<p style=\"background:url('URL');x:expression(RUN)\">x</p>",
    "style sheet": "<link rel=stylesheet href=URL onerror=RUN>",
    "script sheet": '<link rel=preload as=script href="data:text/javascript,1" onload=RUN>',
    "tracking image": '<img src="URL"><img srcset="URL 1x"><table background="URL"><tr><td>x</table>',
    "tracking link": '<a href="#x" ping="URL">x</a>',
    # Frames and plugins
    "iframe srcdoc": '<iframe srcdoc="DOCUMENT"></iframe>',
    "iframe srcdoc in entities": '<iframe srcdoc="&lt;img src=x onerror=RUN&gt;"></iframe>',
    "iframe of a script": '<iframe src="javascript:RUN"></iframe>',
    "iframe of data": '<iframe src="data:text/html,DOCUMENT"></iframe>',
    "iframe from elsewhere": "<iframe src=URL></iframe>",
    "object": '<object data="data:text/html,DOCUMENT"></object>',
    "embed": '<embed src="data:text/html,DOCUMENT">',
    # The page's own settings
    "meta refresh to data": '<meta http-equiv="refresh" content="0;url=data:text/html,DOCUMENT">',
    "meta refresh to elsewhere": '<meta http-equiv="refresh" content="0;url=URL">',
    "base": '<base href="javascript:/x/"><base href="URL"><img src="x.png"><a href="#">x</a>',
    # Forms
    "form": '<form action="javascript:RUN"><button>x</button></form>',
    "formaction": '<form><button formaction="javascript:RUN">x</button></form>',
    "form sent elsewhere": '<form action="URL"><button>x</button></form>',
    # Links
    "javascript link": '<a href="javascript:RUN">x</a>',
    "javascript link in mangled case": '<a href=" \x01JaVaScRiPt:RUN">x</a>',
    "javascript link in entities": '<a href="&#106;&#x61;vascript&colon;RUN">x</a>',
    "javascript link with blanks": '<a href="java&Tab;scr&NewLine;ipt:RUN">x</a>',
    "javascript link with a host": '<a href="javascript://x.org/%0aRUN">x</a>',
    "javascript area": '<img src="data:," usemap="#m"><map name=m><area shape=default href="javascript:RUN"></map>',
    "data link": '<a href="data:text/html,DOCUMENT">x</a>',
    # SVG and MathML
    "svg onload": "<svg onload=RUN></svg>",
    "svg script": "<svg><script>RUN</script></svg>",
    "svg script in entities": "<svg><script>&#116;op.postMessage('ran','*')</script></svg>",
    "svg animate": "<svg><animate onbegin=RUN attributeName=x dur=1s></svg>",
    "svg link": '<svg><a xlink:href="javascript:RUN"><text y="9">x</text></a></svg>',
    "svg link set late": '<svg><a><set attributeName=href to="javascript:RUN" /><text y="9">x</text></a></svg>',
    "svg foreignObject": "<svg><foreignObject><body onload=RUN><img src=x onerror=RUN></foreignObject></svg>",
    "svg as an image": "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='RUN'/>\">",
    "svg in an embed": "<embed src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='RUN'/>\">",
    "math link": '<math href="javascript:RUN">x</math>',
    # Parsed one way once and another way the next time
    "math style": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=RUN&gt;">',
    "math form": "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=RUN>",
    "math annotation": '<math><annotation-xml encoding="text/html"><style><img src=x onerror=RUN></style>',
    "svg style": '<svg></p><style><a id="</style><img src=1 onerror=RUN>">',
    "svg title": "<svg><title><a title='</title><img src=1 onerror=RUN>'></a></title></svg>",
    "svg in the colours of the page": '<svg class="plot" viewBox="0 0 9 9"><g class="mark" onclick=RUN><path d="M0 0" '
    'fill="var(--c0)" onmouseover=RUN /></g></svg>',
    "svg with a file for a colour": '<svg><path d="M0 0" fill="url(URL#x)" stroke="var(--c0);x:url(URL)" /></svg>',
    "svg image": '<svg><image href="URL" onload=RUN onerror=RUN /></svg>',
    "svg text that ends the svg": '<svg><text><p title="</text></svg><img src=x onerror=RUN>"></text></svg>',
    "svg label with an end in it": "<svg><g aria-label='\"><img src=x onerror=RUN>' data-trial='\"><img src=x "
    "onerror=RUN>'><path d='M0 0'/></g></svg>",
    "svg CDATA": "<svg><![CDATA[><img src=x onerror=RUN>]]></svg>",
    "CDATA": "<![CDATA[><img src=x onerror=RUN>]]>",
    "processing instruction": "<?xml ><img src=x onerror=RUN>?>",
    "noscript": '<noscript><p title="</noscript><img src=x onerror=RUN>"></noscript>',
    "xmp": '<xmp><p title="</xmp><img src=x onerror=RUN>"></xmp>',
    "noembed": '<noembed><p title="</noembed><img src=x onerror=RUN>"></noembed>',
    "noframes": '<noframes><p title="</noframes><img src=x onerror=RUN>"></noframes>',
    "textarea": '<textarea><p title="</textarea><img src=x onerror=RUN>"></textarea>',
    "title": '<title><p title="</title><img src=x onerror=RUN>"></title>',
    "select": "<select><template><style><!--</style><a rel=\"--></style></template></select><img src=x onerror=RUN>\">",
    "template": "<template><script>RUN</script></template>",
    "shadow root": "<div><template shadowrootmode=open><img src=x onerror=RUN></template></div>",
    "comment that ends at once": "<!--><img src=x onerror=RUN>-->",
    "comment with a wrong end": "<!-- --!><img src=x onerror=RUN> -->",
    "conditional comment": "<!--[if true]><img src=x onerror=RUN><![endif]-->",
    "attribute with an end in it": '<p title="><img src=x onerror=RUN>" class=\'"><img src=x onerror=RUN>\'>x</p>',
    "id with an end in it": "<h2 id='\"><img src=x onerror=RUN>'>x</h2>",
    "alt with an end in it": f"<img src=\"data:image/png;base64,{PIXEL}\" alt='\"><img src=x onerror=RUN>'>",
    "table that gives up its content": "<table><tr><img src=x onerror=RUN><td>x</table>",
    "nested encodings": "&amp;lt;img src=x onerror=RUN&amp;gt; &lt;script&gt;RUN&lt;/script&gt; %3Cscript%3E",
    # Open markup that would swallow what follows
    "open tag": "<img src=x onerror=RUN ",
    "open attribute": "<img src=x onerror=RUN><a title=\"",
    "open script": "<script>RUN;/*",
    "open comment": "<img src=x onerror=RUN><!--",
    "open style": "<img src=x onerror=RUN><style>",
    "open textarea": "<img src=x onerror=RUN><textarea>",
    "open plaintext": "<img src=x onerror=RUN><plaintext>",
}  # fmt: skip
IN_MARKDOWN = {
    "block": "<div>\n<script>RUN</script>\n</div>",
    "inline": 'Some *text* with <b onclick="RUN">markup</b> and <img src=x onerror="RUN">.',
    "link": "[x](javascript:RUN)",
    "link in brackets": "[x](<java&#115;cript:RUN>)",
    "autolink": "<javascript:RUN>",
    "reference": "[x][1]\n\n[1]: javascript:RUN",
    "image": "![x](javascript:RUN) ![x](URL)",
    "title with an end in it": "[x](# 'y\" onmouseover=\"RUN')",
    "alternative text with an end in it": '![x" onerror="RUN](x)',
    "address with an end in it": '[x](<#" onmouseover="RUN>)',
    "heading": f"# {TAG}",
    "table": f"| a |\n| --- |\n| {TAG} |",
    "formula": f"${TAG}$ $${TAG}$$",
    "formula's environment": f"\\begin{{x}}</p>{TAG}\\end{{x}}",
    "diagram": f"~~~mermaid\n</pre>{TAG}\n~~~",
    "code's language": '~~~"><img/src="x"/onerror=RUN>\nx\n~~~',
}
PAYLOADS = [
    *(Payload("text/html", name, text) for name, text in IN_HTML.items()),
    *(Payload("markdown cell", name, text) for name, text in IN_MARKDOWN.items()),
    Payload("text/markdown", "inline", TAG),
    Payload("isolated text/html", "script", "DOCUMENT"),
    Payload("application/javascript", "script", "RUN"),
    Payload("application/javascript", "end of the script", "</script><script>RUN</script>"),
    Payload("text/javascript", "script", "RUN"),
    Payload("image/svg+xml", "script", '<svg xmlns="http://www.w3.org/2000/svg"><script>RUN</script></svg>'),
    Payload("image/svg+xml", "markup", TAG),
    Payload("text/latex", "markup", f"${TAG}$"),
    Payload("text/vnd.mermaid", "markup", f"</pre>{TAG}"),
    Payload("application/pdf", "script", "DOCUMENT"),
    Payload("application/vnd.jupyter.widget-view+json", "markup", "</script><script>RUN</script>"),
    Payload("application/vnd.custom+json", "markup", TAG),
    Payload("text/plain", "markup", TAG),
    *(Payload(PLOT_TYPE, name, IN_HTML[name]) for name in IN_HTML if "svg" in name or "img" in name),
    Payload("image/png", "end of the attribute", f'{PIXEL}" onload="RUN'),
    Payload("image/jpeg", "end of the attribute", f'{PIXEL}" onload="RUN'),
    Payload("stream", "markup", f"</pre>{TAG}"),
    Payload("stream", "ANSI code", "\x1b[38;5;<img src=x onerror=RUN>m\x1b[31m<img src=x onerror=RUN>\x1b[0m"),
    Payload("error", "markup", f"\x1b[0;31m</pre>{TAG}\x1b[0m"),
    Payload("code", "markup", f"# </pre></details>{TAG}"),
    Payload("raw cell", "markup", TAG),
    Payload("raw text/html cell", "script", "DOCUMENT"),
    Payload("cell tag", "end of the attribute", '"><img/src=x/onerror=RUN>'),
    Payload("kernel", "markup", TAG),
    Payload("notebook title", "end of the title", f"</title>{TAG}"),
    Payload("picture", "end of the alternative text", f"\">{TAG}'>{TAG}"),
    Payload("picture's width", "second attribute", "1 onload=RUN"),
    Payload("picture's width", "end of the attribute", '1" onload="RUN'),
    Payload("picture's file", "end of the attribute", 'x" onerror="RUN'),
    Payload("attachment", "HTML", "DOCUMENT"),
    Payload("attachment's type", "end of the attribute", 'x" onerror="RUN'),
    Payload("class name", "img onerror", TAG),
    Payload("image warning", "img onerror", TAG),
    Payload("class name", "end of the attribute", '"><script>RUN</script>'),
    Payload("class name", "longer than a table's cells", f"{'x' * 30}\"'>{TAG}{'y' * 60}"),
    Payload("words", "img onerror", TAG),
    Payload("words", "javascript link", "[x](javascript:RUN)"),
    Payload("chapter title", "img onerror", TAG),
    Payload("chapter title", "end of the heading", "</h2></a><script>RUN</script>"),
    Payload("chapter error", "img onerror", TAG),
    Payload("folder name", "img onerror", TAG),
    Payload("profile", "img onerror", TAG),
    Payload("manifest", "img onerror", TAG),
    Payload("claim", "img onerror", TAG),
    Payload("trial", "img onerror", TAG),
    Payload("trial", "javascript link", "[x](javascript:RUN)"),
    Payload("study title", "img onerror", TAG),
    Payload("study title", "end of the title", "</title></h1><script>RUN</script>"),
    Payload("study images", "img onerror", TAG),
    Payload("stage title", "img onerror", TAG),
    Payload("stage title", "javascript link", "[x](javascript:RUN)"),
    Payload("command", "img onerror", TAG),
]  # fmt: skip
OF_THE_PAGE = {
    *("chapter title", "chapter error", "folder name", "profile", "manifest", "claim", "trial"),
    *("study title", "study images", "stage title", "command"),
}
"""Places outside of a notebook."""


def notebook(payload: Payload) -> NotebookNode:
    """A notebook with a payload between two headings."""
    text, cell = payload.whole, v4.new_code_cell("x = 1")
    metadata: dict = {"language_info": {"name": "python"}}

    def show(content: dict, about: dict | None = None) -> None:
        cell.outputs.append(v4.new_output("display_data", content | {"text/plain": "x"}, metadata=about or {}))

    match payload.place:
        case place if place in OF_THE_PAGE:
            pass
        case "markdown cell":
            cell = v4.new_markdown_cell(text)
        case "raw cell" | "raw text/html cell":
            cell = v4.new_raw_cell(text, metadata={"raw_mimetype": "text/html"} if "html" in payload.place else {})
        case "isolated text/html":
            show({"text/html": text}, {"text/html": {"isolated": True}})
        case "stream":
            cell.outputs.append(v4.new_output("stream", text=text))
        case "error":
            cell.outputs.append(v4.new_output("error", ename=text, evalue=text, traceback=[text, text]))
        case "code":
            cell.source = text
        case "cell tag":
            cell.metadata["tags"] = [text.replace(",", "&#44;")]  # a tag holds no comma
        case "kernel":
            cell.metadata["magics_language"] = text
            metadata = {
                "kernelspec": {"name": text, "display_name": text, "language": text},
                "language_info": {"name": text, "pygments_lexer": text, "mimetype": text, "codemirror_mode": text},
            }
        case "notebook title":
            metadata |= {"title": text, "authors": [{"name": text}]}
        case "picture":
            show({"image/png": PIXEL}, {"image/png": {"alt": text, "width": 1}})
        case "picture's width":
            about = {"alt": "x", "width": text, "height": text}
            show({"image/png": PIXEL}, {"image/png": about})
            show({"image/jpeg": PIXEL}, {"image/jpeg": about})
        case "picture's file":
            show({"image/png": PIXEL}, {"filenames": {"image/png": text}})
        case "attachment" | "attachment's type":
            kind, content = ("text/html", text) if payload.place == "attachment" else (text, "x")
            cell = v4.new_markdown_cell("![x](attachment:x) [x](attachment:x)")
            cell["attachments"] = {"x": {kind: b64encode(content.encode()).decode()}}
        case "class name":
            images = np.zeros((20, 12, 12, 1), np.uint8)
            labels = np.arange(20) % 2
            dataset = Dataset(images, labels, images, labels, (text, "x"))
            split = data.split(dataset, PROTOCOLS["corrected"].split, 10, 6, 10)
            picture, about = words.sample_images(dataset, split)._repr_mimebundle_()
            show({"text/html": words.class_counts_table(dataset, split).data})
            show({"image/png": b64encode(picture["image/png"]).decode(), "text/plain": picture["text/plain"]}, about)
        case "words":
            show({"text/markdown": f"- {tables.text(text)}\n- **{tables.text(text)}**"})
        case kind:
            show({kind: text})
            if "widget" in kind:
                cell.outputs[0].data[kind] = {"model_id": text, "version_major": 2}
                state = {text: {"model_name": text, "model_module": "x", "state": {}}}
                content = {"state": state, "version_major": 2, "version_minor": 0}
                metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": content}
    cells = [v4.new_markdown_cell("# Before"), cell, v4.new_markdown_cell("# After")]
    return v4.new_notebook(cells=cells, metadata=metadata)


def report(payload: Payload, folder: Path) -> str:
    """The page of a report with a payload in a chapter, in the overview or in an error."""
    text = payload.whole
    path = folder / "01-chapter.ipynb"
    path.write_text(json.dumps(notebook(payload)), encoding="utf-8")
    name = {payload.place: text}.get
    title = name("chapter title", "Title")
    chapters = [Chapter("chapter", title, path), Chapter("lost", title, path, name("chapter error", "An error."))]
    if payload.place == "folder name":
        try:
            data.load(folder / text)
        except DataError as error:
            chapters[1].error = str(error)
    results = []
    if payload.place in ("trial", "stage title"):
        result = make_result("dense", **{name("trial", "y"): (0.5, 0.52), "x": (0.4, 0.42)})
        results.append(replace(result, stage=replace(result.stage, title=name("stage title", "Dense"))))
    arrays = make_arrays(np.arange(8) % 2, np.arange(8) % 2, np.random.default_rng(0))
    images = np.zeros((20, 12, 12, 1), np.uint8)
    dataset = Dataset(images, np.arange(20) % 2, images, np.arange(20) % 2, (name("class name", "y"), "x"))
    tuning = SimpleNamespace(
        study=SimpleNamespace(title=name("study title", "A study")),
        scope=SimpleNamespace(about_images=name("study images", ""), start=Trial()),
        budget=replace(PROFILES["quick"], profile=name("profile", "quick")),
        changes={"seeds": name("command", "2")},
        protocol=PROTOCOLS["corrected"],
        store=SimpleNamespace(arrays=lambda *_: arrays),
        images=SimpleNamespace(
            warnings=[DataWarning("layout", text)] if payload.place == "image warning" else [],
            folder=SimpleNamespace(gray=dataset, colour=None),
            dataset=lambda _colour: dataset,
            has_given_val=False,
            split=lambda *_: data.split(dataset, PROTOCOLS["corrected"].split, 10, 6, 10),
        ),
    )
    other = name("manifest", "x")
    manifest = {
        "commit": other, "seeds": [1], "runs": 1, "runs_made_now": 0, "train_seconds": 1.0, "wall_seconds": 1.0,
        "machine": {"system": other, "cores": 2}, "versions": {other: other}, "changed_notebooks": [other],
        "splits": [other], "fit_code": other,
        "data": {"gray_digest": other, "classes": [text, "x"]}, "study": {"built_in": False, "sha256": other},
        "repeat": {"command": name("command", "make report")},
    }  # fmt: skip
    claim = Claim(name("claim", "x"), ("base", name("claim", "x")), ("base", "y"))
    steps = [NextStep(name("trial", "x"), name("command", "make report"), 0.1, 60.0)]
    claims = [ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None)]
    return page.render(tuning, results, chapters, claims, steps, manifest, folder)
