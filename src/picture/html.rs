//! HTML: the same rows, laid out by the browser, so that groups can fold. A script of a few lines draws the lines.

use super::layout::{Cell, Rows, layout};
use super::{Kind, Member, Picture, escaped};
use std::fmt::Write;

/// Colours are names, once for light pages and once for dark ones; `data-theme` on the page overrules the reader's system.
const STYLE: &str = "body{font:13px Helvetica,Arial,sans-serif;color:var(--fg);background:var(--bg);margin:20px}\
h1{font-size:16px;text-align:center}#all{position:relative;width:max-content;margin:auto}\
#all>svg{position:absolute;left:0;top:0;pointer-events:none;overflow:visible;z-index:1}\
.row{display:flex;justify-content:center;align-items:center;gap:26px;margin:0 0 36px}.rows>.row:last-child{margin-bottom:0}\
.unit{border:1px solid;border-radius:6px;padding:6px 12px;white-space:nowrap;min-width:60px;text-align:center;z-index:2}\
.room{display:flex;justify-content:center}.input,.output{border-radius:15px}\
.unit i{font-style:normal;font-size:11px;color:var(--dim);margin-right:7px}.lane{width:10px;align-self:stretch}\
.group{border:1px dashed var(--frame);border-radius:8px;background:var(--tint);padding:0 16px 22px;box-sizing:border-box}\
.group>b{display:block;font-weight:normal;font-size:11.5px;color:var(--dim);padding:6px 0;cursor:pointer;user-select:none;margin-left:-8px;\
border-radius:4px}.group>b:hover{color:var(--fg)}\
.group>b:before{content:'\\25be  '}.group.shut>b:before{content:'\\25b8  '}.group.shut>.rows{display:none}\
.group.shut{padding-bottom:0;background:var(--shut);border-style:solid;border-color:var(--shutframe);min-width:0!important;z-index:2}\
.group.shut>b{margin-right:0;color:var(--fg)}\
path{stroke:var(--line)}marker path{fill:var(--line);stroke:none}\
text{font-size:10.5px;fill:var(--shape);stroke:var(--bg);stroke-width:3px;paint-order:stroke}p{text-align:center}\
p button{font:inherit;font-size:12px;color:var(--fg);background:var(--bg);border:1px solid var(--frame);border-radius:6px;padding:3px 10px;\
cursor:pointer}p button:hover{border-color:var(--shutframe)}";

const LIGHT: &str = "color-scheme:light;--bg:#fff;--fg:#1f2328;--dim:#57606a;--frame:#8c959f;--tint:#8c959f12;--line:#6e7781;\
--shape:#0a5c36;--shut:#dbe9fb;--shutframe:#3b6fb6";
const DARK: &str = "color-scheme:dark;--bg:#14171f;--fg:#dde2ec;--dim:#8f9bb0;--frame:#566075;--tint:#8c9bb80d;--line:#8a95a8;\
--shape:#7fd1a4;--shut:#1d2f4d;--shutframe:#6b9be0";

/// Lines go from the visible box around one end, through the visible lanes, to that around the other.
const SCRIPT: &str = "const all=document.getElementById('all'),svg=all.querySelector('svg');\
const seen=e=>{let out=e;for(let p=e.parentElement;p&&p!==all;p=p.parentElement)if(p.classList.contains('shut'))out=p;return out};\
function draw(){const o=all.getBoundingClientRect();const at=e=>{const r=e.getBoundingClientRect();\
return{x:r.left-o.left+r.width/2,t:r.top-o.top,b:r.bottom-o.top}};let s='',said=new Map(),done=new Set();\
for(const[a,b,i]of LINES){const f=seen(document.getElementById('u'+a)),g=seen(document.getElementById('u'+b));if(f===g)continue;\
const key=(f.id)+'>'+(g.id);if(done.has(key))continue;done.add(key);\
const p=at(f),q=at(g);let x=p.x,y=p.b,d=`M${x} ${y}`,turn=null;const to=(X,Y)=>{const h=(Y-y)/2;turn??=X;d+=` C${x} ${y+h} ${X} ${Y-h} ${X} ${Y}`;x=X;y=Y};\
const lanes=[...document.querySelectorAll('.l'+i)].filter(e=>seen(e)===e).map(at).sort((m,n)=>m.t-n.t);\
for(const l of lanes){if(l.t<p.b-1||l.b>q.t+1)continue;to(l.x,l.t);d+=` L${l.x} ${l.b}`;y=l.b}to(q.x,q.t);\
s+=`<path d='${d}' fill='none' stroke-width='1.3' marker-end='url(#tip)'/>`;\
const label=said.get(f)??{a,p,right:false};label.right||=turn>p.x+4;said.set(f,label)}\
for(const{a,p,right}of said.values())\
s+=`<text x='${p.x+(right?-6:6)}' y='${p.b+13}' text-anchor='${right?'end':'start'}'>${SHAPES[a]}</text>`;\
svg.querySelector('g').innerHTML=s}\
const heads=[...document.querySelectorAll('.group>b')];\
for(const h of heads){h.tabIndex=0;h.role='button';const set=()=>h.ariaExpanded=String(!h.parentElement.classList.contains('shut'));set();\
h.onclick=()=>{h.parentElement.classList.toggle('shut');set();draw()};\
h.onkeydown=e=>{if(e.key==='Enter'||e.key===' '){e.preventDefault();h.onclick()}}}\
const set=v=>{for(const h of heads)h.parentElement.classList.toggle('shut',v);draw()};\
document.getElementById('open').onclick=()=>set(false);document.getElementById('shut').onclick=()=>set(true);\
addEventListener('resize',draw);draw();";

fn kinds(scope: &str, colors: fn(Kind) -> (&'static str, &'static str)) -> String {
    let rule = |kind: Kind| {
        let (fill, border) = colors(kind);
        format!("{scope} .{}{{background:{fill};border-color:{border}}}", kind.name())
    };
    Kind::ALL.into_iter().map(rule).collect()
}

fn style() -> String {
    let light = format!(":root{{{LIGHT}}}{}", kinds(":root", Kind::colors));
    let dark = |scope: &str| format!("{scope}{{{DARK}}}{}", kinds(scope, Kind::dark_colors));
    let (by_system, by_name) = (dark(":root:not([data-theme=light])"), dark(":root[data-theme=dark]"));
    format!("{light}\n@media screen and (prefers-color-scheme:dark){{{by_system}}}\n{by_name}\n{STYLE}")
}

pub fn write(picture: &Picture) -> String {
    let rows = layout(picture);
    let title = escaped(&picture.title);
    let mut body = String::new();
    group(picture, &rows, 0, &mut body);
    let lines: Vec<String> = picture.edges.iter().enumerate().map(|(i, (a, b))| format!("[{a},{b},{i}]")).collect();
    // As JSON, and nothing in it may end the script.
    let shapes: Vec<String> = picture.units.iter().map(|u| escaped(&u.output)).collect();
    let shapes = serde_json::to_string(&shapes).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{}</style></head>\n\
         <body><h1>{title}</h1><p><button id=\"open\">unfold all</button> <button id=\"shut\">fold all</button></p>\n\
         <div id=\"all\"><svg width=\"1\" height=\"1\"><defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
         markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0.8 L7.5 4 L0 7.2 z\" /></marker></defs>\
         <g></g></svg>\n{body}</div>\n<script>const LINES=[{}],SHAPES={shapes};\n{SCRIPT}</script></body></html>\n",
        style(),
        lines.join(",")
    )
}

fn group(picture: &Picture, rows: &[Rows], number: usize, out: &mut String) {
    out.push_str("<div class=\"rows\">\n");
    for row in &rows[number] {
        out.push_str("<div class=\"row\">");
        for cell in row {
            match *cell {
                Cell::Lane(line) => {
                    let _ = write!(out, "<div class=\"lane l{line}\"></div>");
                }
                Cell::Member(Member::Unit(unit)) => {
                    let this = &picture.units[unit];
                    let name =
                        if this.name.is_empty() { String::new() } else { format!("<i>{}</i>", escaped(&this.name)) };
                    let _ = write!(
                        out,
                        "<div class=\"room\" style=\"min-width:{:.0}px\"><div class=\"unit {}\" id=\"u{unit}\">{name}{}</div></div>",
                        picture.room(unit),
                        this.kind.name(),
                        escaped(&this.label)
                    );
                }
                Cell::Member(Member::Group(inner)) => {
                    let _ = write!(
                        out,
                        "<div class=\"group\" id=\"g{inner}\" style=\"min-width:{:.0}px\"><b>{}</b>",
                        picture.heading_width(inner),
                        escaped(&picture.heading(inner))
                    );
                    group(picture, rows, inner, out);
                    out.push_str("</div>");
                }
            }
        }
        out.push_str("</div>\n");
    }
    out.push_str("</div>\n");
}
