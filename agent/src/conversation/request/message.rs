//! A message of the person.

use crate::json::{Json, Text};
use crate::settings::field::{Field, Reading};
use crate::settings::model::{any_input, any_value, choice, model};
use crate::settings::secret::View;
use crate::tool::Content;

/// A message of the person.
#[derive(Debug, Clone, PartialEq)]
pub struct SendMessage {
    /// What it says.
    pub content: Vec<Content>,
    /// Whether the agent is to go on with it.
    pub run: bool,
    /// Who sent it, if that was said.
    pub sender: Option<String>,
}

choice! {
    /// Whose words a message is.
    pub enum GivenRole { /// The person's.
        User = "user", /// None that may be sent.
        System = "system", /// None that may be sent.
        Assistant = "assistant", /// None that may be sent.
        Tool = "tool", }
}

choice! { /// The type of a text.
pub enum TextType { /// A text.
    Text = "text", } }
choice! { /// The type of images.
pub enum ImageType { /// Images.
    Image = "image", } }

model! {
    /// A text.
    pub struct TextPart { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Whether the model's side may cache up to here.
    cache_prompt: bool = { false };
    /// That it is one.
    r#type: TextType = { TextType::Text };
    /// The text.
    text: Text = required;
}

model! {
    /// Images.
    pub struct ImagePart { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Whether the model's side may cache up to here.
    cache_prompt: bool = { false };
    /// That they are some.
    r#type: ImageType = { ImageType::Image };
    /// Where they are: `data:` URLs.
    image_urls: Vec<Text> = required;
}

/// A part of a message: a text or images.
pub enum Part {
    /// A text.
    Text(TextPart),
    /// Images.
    Image(ImagePart),
}

impl Field for Part {
    /// Whichever it is; when it is neither, the faults of both.
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let before = run.faults.len();
        if let Some(part) = run.at_tag("TextContent", |run| TextPart::read(input, base, run)) {
            return Some(Self::Text(part));
        }
        let part = run.at_tag("ImageContent", |run| ImagePart::read(input, base, run))?;
        run.faults.truncate(before);
        Some(Self::Image(part))
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Text(part) => part.show(view),
            Self::Image(part) => part.show(view),
        }
    }
}

fn from_the_user(message: &mut Given, _: &Json, run: &mut Reading<'_>) -> bool {
    let fits = message.role == GivenRole::User;
    if !fits {
        let text = "only messages of the role 'user' can be sent";
        let shown = Json::text(message.role.word());
        run.at_name("role", |run| run.refuse_value::<()>(text, shown));
    }
    fits
}

model! {
    /// A message as it is sent.
    pub struct Given { unknown: Dropped, lean: false, before: any_input, after: from_the_user }
    /// Whose words it is.
    role: GivenRole = { GivenRole::User };
    /// What it says.
    content: Vec<Part> = { Vec::new() };
    /// Whether the agent is to go on with it.
    run: bool = { false };
    /// Who sent it.
    sender: Option<Text> = { None };
}

impl Field for SendMessage {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let given = Given::read(input, base, run)?;
        let part = |part| match part {
            Part::Text(part) => Content::Text {
                cache_prompt: part.cache_prompt,
                text: part.text.expose().to_owned(),
            },
            Part::Image(part) => Content::Image {
                cache_prompt: part.cache_prompt,
                image_urls: part
                    .image_urls
                    .iter()
                    .map(|url| url.expose().to_owned())
                    .collect(),
            },
        };
        Some(Self {
            content: given.content.into_iter().map(part).collect(),
            run: given.run,
            sender: given.sender.map(|sender| sender.expose().to_owned()),
        })
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::Null
    }
}
