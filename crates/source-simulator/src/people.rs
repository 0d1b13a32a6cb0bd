use crate::dice::Dice;

const FIRST: [&str; 40] = [
    "Aino",
    "Amara",
    "Anaïs",
    "Andrzej",
    "Bea",
    "Bruno",
    "Carmen",
    "Chiara",
    "Daan",
    "Dilan",
    "Elif",
    "Emil",
    "Farah",
    "Freya",
    "Giulia",
    "Hugo",
    "Ines",
    "Ivan",
    "Jana",
    "João",
    "Katarína",
    "Lena",
    "Łukasz",
    "Maëlle",
    "Mateo",
    "Mina",
    "Nadia",
    "Nils",
    "Olga",
    "Pau",
    "Petra",
    "Rasmus",
    "Sana",
    "Søren",
    "Tariq",
    "Tomás",
    "Ursula",
    "Viktor",
    "Yara",
    "Zoë",
];

const LAST: [&str; 40] = [
    "Aalto",
    "Abadi",
    "Álvarez",
    "Bakker",
    "Baumann",
    "Bianchi",
    "Costa",
    "Dahl",
    "Demir",
    "Dubois",
    "Eriksen",
    "Ferrari",
    "Fischer",
    "García",
    "Haas",
    "Hansen",
    "Horvat",
    "Ivanova",
    "Jansen",
    "Kaya",
    "Kowalska",
    "Kovács",
    "Larsen",
    "Lefèvre",
    "Lindqvist",
    "Marin",
    "Meyer",
    "Moreau",
    "Novák",
    "O'Brien",
    "Okafor",
    "Papadakis",
    "Petrov",
    "Ricci",
    "Rossi",
    "Santos",
    "Schäfer",
    "Tamm",
    "Visser",
    "Weiß",
];

const CITIES: [&str; 24] = [
    "Amsterdam",
    "Athens",
    "Barcelona",
    "Berlin",
    "Bratislava",
    "Brussels",
    "Copenhagen",
    "Dublin",
    "Hamburg",
    "Helsinki",
    "Kraków",
    "Lisbon",
    "Ljubljana",
    "Lyon",
    "Madrid",
    "Milan",
    "Oslo",
    "Paris",
    "Porto",
    "Prague",
    "Riga",
    "Tallinn",
    "Vienna",
    "Warsaw",
];

const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];

const SEGMENTS: [&str; 3] = ["retail", "merchant", "freelance"];

/// Who a customer is; nothing here moves money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) city: &'static str,
    pub(crate) segment: &'static str,
    /// Days since 1970.
    pub(crate) born_on: i32,
}

/// Customer number `c`, before or after the one move of a life.
pub(crate) fn person(seed: u64, c: i64, moved: bool) -> Person {
    let mut dice = Dice::new(seed, 1, c.cast_unsigned());
    let (first, last) = (dice.pick(&FIRST), dice.pick(&LAST));
    let email = format!("{}.{}{}@{}", ascii(first), ascii(last), c, dice.pick(&DOMAINS));
    let segment = dice.pick(&SEGMENTS);
    // From 1950 to 2005.
    let born_on = i32::try_from(dice.between(-7_305, 13_148)).unwrap_or(0);
    let mut city = dice.pick(&CITIES);
    let mut phone = dice.between(0, 999);
    if moved {
        city = dice.pick(&CITIES);
        phone = dice.between(0, 999);
    }
    // A range that is never given to anybody.
    let phone = format!("+44 7700 900{phone:03}");
    Person { name: format!("{first} {last}"), email, phone, city, segment, born_on }
}

/// The letters that an address may have.
fn ascii(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
}
